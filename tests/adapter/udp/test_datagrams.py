"""`peersockets_trio.udp.datagrams`: batches of datagrams, with the kernel's help and without."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator

import pytest

from adapter.udp.support import bound, pieces, read
from peersockets_trio.udp import datagrams
from peersockets_trio.udp.datagrams import Datagrams


@pytest.fixture
def two() -> Iterator[tuple[Datagrams, Datagrams]]:
    with bound() as sender, bound() as receiver:
        yield sender, receiver


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


class Refusing:
    """A socket that refuses an option like a kernel that does not know it."""

    def __init__(self, sock: socket.socket, error: int, times: int = 1) -> None:
        self._socket, self._error, self.times = sock, error, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)

    def sendmsg(self, *arguments: object) -> int:
        return self._try("sendmsg", *arguments)

    def sendto(self, *arguments: object) -> int:
        return self._try("sendto", *arguments)

    def _try(self, name: str, *arguments: object) -> int:
        if self.times:
            self.times -= 1
            raise OSError(self._error, "refused")
        result: int = getattr(self._socket, name)(*arguments)
        return result


def refuse(sender: Datagrams, error: int, times: int = 1) -> None:
    sender.socket = Refusing(sender.socket, error, times)  # type: ignore[assignment]


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EIO, errno.ENOPROTOOPT])
def test_a_kernel_without_runs(two: tuple[Datagrams, Datagrams], error: int) -> None:
    sender, receiver = two
    refuse(sender, error)
    sender.segments = True
    for _ in range(2):
        assert sender.send(receiver.address, list(buffers(5, 100, 50)), 100)
    assert [len(piece) for piece in pieces(read(receiver))] == 2 * [100, 100, 100, 100, 50]


def test_other_errors_reach_the_caller(two: tuple[Datagrams, Datagrams]) -> None:
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


@pytest.mark.skipif(sys.platform != "linux", reason="how fragments are forbidden differs")
def test_fragments_are_forbidden_by_default(two: tuple[Datagrams, Datagrams]) -> None:
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
    try:
        with bound("::1") as sender, bound("::1") as receiver:
            sender.send(receiver.address, [b"data"], 4, fragment=True)
            assert pieces(read(receiver)) == [b"data"]
    except OSError:
        pytest.skip("no IPv6 here")
