"""The types of the core, with the owners that a node gives to its connections and handles."""

from __future__ import annotations

from typing import TypeAlias

from peersockets_core import Connection, OpenDrive, Peersockets, TopicHandle

from .connection_task import ConnectionTask
from .receiver import Wakeable

NodeMachine: TypeAlias = Peersockets[ConnectionTask, Wakeable]
NodeConnection: TypeAlias = Connection[ConnectionTask]
NodeDrive: TypeAlias = OpenDrive[ConnectionTask, Wakeable]
NodeTopicHandle: TypeAlias = TopicHandle[ConnectionTask, Wakeable]
