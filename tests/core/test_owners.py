"""`peersockets_core.owners`: the core hands back a program's own objects with their types.

Mypy checks this file in strict mode, where a `type: ignore` that hides no error is an error itself.
"""

from __future__ import annotations

from typing import assert_type

import attrs
import pytest
import trio

from core.support import KEY, NOW, entropy, key_pair
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    OpenDrive,
    Peersockets,
    RemoteProtocolError,
    RequestBook,
    TopicHandle,
    Watch,
)
from peersockets_core.topics.requests import Asked


@attrs.frozen
class Stream:
    number: int


@attrs.frozen
class Reader:
    name: str


class Host:
    def news(self, handle: TopicHandle[Stream, Reader] | Watch[Reader]) -> None:
        assert_type(handle.owner, Reader)

    def readable(self, connection: Connection[Stream]) -> None:
        assert_type(connection.owner, Stream)

    def rerouted(self) -> None:
        """No sender waits."""

    def wake(self, connection: Connection[Stream]) -> None:
        assert_type(connection.owner, Stream)

    def retire(self, connection: Connection[Stream]) -> None:
        assert_type(connection.owner, Stream)

    def drop(self, connection: Connection[Stream], error: RemoteProtocolError) -> None:
        assert_type(connection.owner, Stream)


def test_a_machine_takes_the_types_of_its_host() -> None:
    machine = Peersockets(Host())
    assert_type(machine, Peersockets[Stream, Reader])
    connection = machine.make_connection(
        initiator=False, key_pair=key_pair("ours"), entropy=entropy("ours"), now=NOW, owner=Stream(7)
    )
    assert assert_type(connection.owner, Stream).number == 7
    with pytest.raises(AttributeError):
        connection.owner.name  # type: ignore[attr-defined]  # noqa: B018
    drive = machine.open_drive(KEY)
    assert_type(drive, OpenDrive[Stream, Reader])
    handle = machine.join(drive, "chat", owner=Reader("chat"))
    assert assert_type(handle.owner, Reader).name == "chat"
    watch = machine.watch(drive, owner=Reader("members"))
    assert assert_type(watch.owner, Reader).name == "members"


def test_the_owner_of_a_request_has_the_given_type() -> None:
    book: RequestBook[trio.Event, trio.CancelScope] = RequestBook(DEFAULT_LIMITS, iter(range(9)))
    asked = book.ask(1, book.new_id(1), trio.Event())
    assert_type(asked, Asked[trio.Event])
    assert not asked.owner.is_set()


def test_an_owner_that_was_not_given_is_none() -> None:
    connection = Connection(initiator=False, key_pair=key_pair("ours"), entropy=entropy("ours"), now=NOW)
    assert_type(connection, Connection)
    assert connection.owner is None
