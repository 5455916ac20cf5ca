"""`Progress`: the amounts of accepted output that have left and that have been acknowledged."""

from __future__ import annotations

import attrs

from core.support import KEY, NOW, Pair
from peersockets_core import Connection
from peersockets_trio.runtime.progress import Progress


@attrs.define
class Transport:
    """A stream whose remote acknowledges when a test says so."""

    immediate: bool = True
    read_size: int = 1
    waiting: int = 0

    async def wait(self) -> None: ...

    def take(self) -> bytes | None:
        return None

    def write(self, data: bytes | memoryview) -> int:
        return 0

    async def send(self, data: memoryview) -> int:
        return 0

    def is_read(self) -> bool:
        return True

    def unacknowledged(self) -> int:
        return self.waiting


def progress() -> tuple[Connection, Transport, Progress]:
    connection, transport = Pair().open().left, Transport()
    return connection, transport, Progress(connection, transport, NOW)


def test_messages_are_unsent_until_they_are_written() -> None:
    connection, _, made = progress()
    assert made.take(NOW) == 0
    assert not made.unwritten
    connection.sender(KEY.discovery_key, "chat").send(bytes(1000))
    queued = made.unsent
    assert queued > 1000
    assert made.take(NOW) == queued
    assert made.unsent == queued
    data = memoryview(made.unwritten)
    made.unwritten = data[len(data) // 2 :]
    assert abs(made.unsent - queued / 2) <= 1
    made.unwritten = b""
    assert made.unsent == 0


def test_unacknowledged_bytes_count_up_to_the_last_message() -> None:
    connection, transport, made = progress()
    connection.sender(KEY.discovery_key, "chat").send(bytes(1000))
    made.take(NOW)
    size = len(made.unwritten)
    made.unwritten = b""
    connection.send_keepalive()
    made.take(NOW)
    keepalive = len(made.unwritten)
    made.unwritten = b""
    transport.waiting = size + keepalive
    assert made.unacknowledged_messages == size
    transport.waiting = keepalive
    assert made.unacknowledged_messages == 0


def test_the_remote_is_silent_from_its_last_acknowledgement() -> None:
    connection, transport, made = progress()
    connection.sender(KEY.discovery_key, "chat").send(bytes(1000))
    made.take(NOW)
    transport.waiting = size = len(made.unwritten)
    made.unwritten = b""
    made.look(NOW + 1)
    assert made.silent_since() == NOW
    transport.waiting = size - 1
    made.look(NOW + 2)
    assert made.silent_since() == NOW + 2
    made.look(NOW + 3)
    assert made.silent_since() == NOW + 2
    transport.waiting = 0
    made.look(NOW + 4)
    made.look(NOW + 5)
    assert made.silent_since() == NOW + 5
