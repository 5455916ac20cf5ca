"""`TaskHost`: the part of a node that the tasks of its connections use."""

from __future__ import annotations

from typing import Protocol, TypeVar

from peersockets_core import Limits, Peersockets
from peersockets_core.info import Authenticate

from .flusher import Flusher
from .receiver import Wakeable
from .scheduler import Scheduler
from .telemetry import Telemetry

Task = TypeVar("Task")
"""The class of the tasks: `ConnectionTask`, which is a layer above."""


class TaskHost(Protocol[Task]):
    """The attributes and methods of a node that its connection tasks use."""

    limits: Limits
    authenticate: Authenticate | None
    telemetry: Telemetry
    flusher: Flusher
    scheduler: Scheduler

    @property
    def machine(self) -> Peersockets[Task, Wakeable]:
        """The machine of the node."""

    def add(self, task: Task) -> None:
        """Add a task that starts with its handshake."""

    def handshaken(self, task: Task) -> None:
        """Note that a task's handshake is finished and its remote is admitted."""

    def schedule(self, task: Task) -> None:
        """Make sure that a task's next deadline is not missed."""

    def look_again(self) -> None:
        """Check whether something is due earlier than before."""

    def ended(self, task: Task, unsent: int) -> None:
        """Note that a task's connection has closed; `unsent` accepted bytes did not leave."""

    def discard(self, task: Task) -> None:
        """Remove a task that has stopped."""
