"""`peersockets_trio.udp.datagrams`: batches of datagrams, with the kernel's help and without."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator

import pytest

from adapter.support import LOOPBACK
from peersockets_trio.udp import datagrams
from peersockets_trio.udp.datagrams import Datagrams


@pytest.fixture
def two() -> Iterator[tuple[Datagrams, Datagrams]]:
    made = []
    for _ in range(2):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((LOOPBACK, 0))
        made.append(Datagrams(sock))
    yield made[0], made[1]
    for each in made:
        each.close()


def read(receiver: Datagrams) -> list[tuple[bytes, int]]:
    """Read everything, which loopback has delivered by the time that the sender returns."""
    runs: list[tuple[bytes, int]] = []
    while receiver.read(lambda data, size, _: runs.append((bytes(data), size))):
        pass
    return runs


def pieces(runs: list[tuple[bytes, int]]) -> list[bytes]:
    return [data[at : at + size] for data, size in runs for at in range(0, len(data) or 1, size or 1)]


def buffers(count: int, size: int, last: int) -> list[bytes]:
    sizes = [size] * (count - 1) + [last]
    return [half for number, each in enumerate(sizes) for half in (bytes([number]) * 4, bytes(each - 4))]


@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize(
    ("count", "size", "last"), [(1, 30, 30), (2, 30, 30), (40, 1472, 1472), (40, 1472, 9)]
)
def test_a_run_arrives_whole(
    two: tuple[Datagrams, Datagrams], segments: bool, count: int, size: int, last: int
) -> None:
    sender, receiver = two
    sender.segments = sender.segments and segments
    sent = buffers(count, size, last)
    assert sender.send(receiver.address, list(sent), size)
    runs = read(receiver)
    assert b"".join(data for data, _ in runs) == b"".join(sent)
    assert [len(piece) for piece in pieces(runs)] == [size] * (count - 1) + [last]
    assert len(runs) == 1, "it is handed over in one piece, however it came"


def test_runs_are_distinguished(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    for data in (b"", b"aa", b"bb", b"c", b"dd", b"eee", b"ff"):
        sender.send(receiver.address, [data], len(data))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
        another.sendto(b"gg", receiver.address)
    assert [data for data, _ in read(receiver)] == [b"", b"aabbc", b"dd", b"eeeff", b"gg"]


def test_many_small_datagrams(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    for number in range(500):
        sender.send(receiver.address, [number.to_bytes(2)], 2)
    assert pieces(read(receiver)) == [number.to_bytes(2) for number in range(500)]


def test_datagrams_larger_than_the_buffer_together(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    for number in range(20):
        sender.send(receiver.address, [bytes([number]) * 60_000], 60_000)
    assert [piece[:1] for piece in pieces(read(receiver))] == [bytes([number]) for number in range(20)]


class Refusing:
    """A socket that refuses as a kernel does that does not know a thing."""

    def __init__(self, sock: socket.socket, error: int, times: int = 1) -> None:
        self._socket, self._error, self.times = sock, error, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)

    def sendmsg(self, *arguments: object) -> int:
        return self._try("sendmsg", *arguments)

    def sendto(self, *arguments: object) -> int:
        return self._try("sendto", *arguments)

    def recvmsg_into(self, *arguments: object) -> object:
        return self._try("recvmsg_into", *arguments)

    def _try(self, name: str, *arguments: object) -> int:
        if self.times:
            self.times -= 1
            raise OSError(self._error, "refused")
        result: int = getattr(self._socket, name)(*arguments)
        return result


def refuse(sender: Datagrams, error: int, times: int = 1) -> None:
    sender.socket = Refusing(sender.socket, error, times)  # type: ignore[assignment]


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EIO, errno.ENOPROTOOPT])
def test_a_kernel_that_does_not_take_runs(two: tuple[Datagrams, Datagrams], error: int) -> None:
    sender, receiver = two
    refuse(sender, error)
    sender.segments = True
    for _ in range(2):
        assert sender.send(receiver.address, list(buffers(5, 100, 50)), 100)
    assert [len(piece) for piece in pieces(read(receiver))] == 2 * [100, 100, 100, 100, 50]


def test_other_errors_are_the_callers_to_see(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    with pytest.raises(OSError, match="Message too long"):
        sender.send(receiver.address, [bytes(70_000)], 70_000)
    refuse(sender, errno.EHOSTUNREACH)
    with pytest.raises(OSError, match="refused"):
        sender.send(receiver.address, list(buffers(5, 100, 50)), 100)


def test_no_room(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    refuse(sender, errno.EAGAIN)
    assert not sender.send(receiver.address, list(buffers(5, 100, 50)), 100)
    sender.segments = False
    refuse(sender, errno.EAGAIN)
    assert sender.send(receiver.address, list(buffers(5, 100, 50)), 100)
    assert read(receiver) == []


def test_an_error_of_what_was_sent_before_ends_no_reading(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    sender.send(receiver.address, [b"data"], 4)
    refuse(receiver, errno.ECONNREFUSED)
    assert pieces(read(receiver)) == [b"data"]


@pytest.mark.skipif(sys.platform != "linux", reason="how fragments are forbidden differs")
def test_fragments_are_forbidden_unless_asked_for(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    seen = []

    class Watching(Refusing):
        def sendmsg(self, *arguments: object) -> int:
            seen.append(self._socket.getsockopt(socket.IPPROTO_IP, 10))
            return super().sendmsg(*arguments)

    sender.socket = Watching(sender.socket, 0, 0)  # type: ignore[assignment]
    sender.send(receiver.address, [b"data"], 4)
    sender.send(receiver.address, [b"data"], 4, fragment=True)
    sender.send(receiver.address, [b"data"], 4)
    assert seen == [3, 0, 3]


def test_small_buffers_are_warned_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "BUFFER_SIZE", 1 << 30)
    monkeypatch.setattr(datagrams, "_SO_RCVBUFFORCE", 8)  # as for a process that may not exceed the limit
    monkeypatch.setattr(datagrams, "_warned", False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        with pytest.warns(RuntimeWarning, match="sysctl"):
            Datagrams(first)
        Datagrams(first)


def test_the_other_family() -> None:
    made = []
    for _ in range(2):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        try:
            sock.bind(("::1", 0))
        except OSError:
            sock.close()
            pytest.skip("no IPv6 here")
        made.append(Datagrams(sock))
    sender, receiver = made
    sender.send(receiver.address, [b"data"], 4, fragment=True)
    assert pieces(read(receiver)) == [b"data"]
    for each in made:
        each.close()
