"""`peersockets_trio.udp.readers`: both readers return the same runs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from adapter.udp.support import bound, pieces, read
from peersockets_core.udx import Address
from peersockets_trio.udp.datagrams import Datagrams
from peersockets_trio.udp.readers import DatagramReader, OneByOne
from peersockets_trio.udp.recvmmsg import AVAILABLE, Batches

ONE_BY_ONE = pytest.param(OneByOne, id="one by one")
BATCHES = pytest.param(
    Batches, id="batches", marks=pytest.mark.skipif(not AVAILABLE, reason="the system has no recvmmsg")
)


@pytest.fixture(params=[ONE_BY_ONE, BATCHES])
def make(request: pytest.FixtureRequest) -> Callable[[socket.socket], DatagramReader]:
    made: Callable[[socket.socket], DatagramReader] = request.param
    return made


@pytest.fixture
def two(make: Callable[[socket.socket], DatagramReader]) -> Iterator[tuple[Datagrams, Datagrams]]:
    with bound() as sender, bound() as receiver:
        receiver.reader = make(receiver.socket)
        yield sender, receiver


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
        sender.send(receiver.address, [number.to_bytes(2, "big")], 2)
    assert pieces(read(receiver)) == [number.to_bytes(2, "big") for number in range(500)]


def test_datagrams_larger_than_the_buffer_together(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    for number in range(20):
        sender.send(receiver.address, [bytes([number]) * 60_000], 60_000)
    assert [piece[:1] for piece in pieces(read(receiver))] == [bytes([number]) for number in range(20)]


def test_runs_of_the_kernel_are_runs(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    for number in range(3):
        sender.send(receiver.address, [bytes([number]) * 700, b"last"], 100)
    sender.send(receiver.address, [b"lone"], 4)
    assert b"".join(data for data, _ in read(receiver)) == (
        b"".join(bytes([number]) * 700 + b"last" for number in range(3)) + b"lone"
    )


def test_the_source_is_the_address_of_the_sender(two: tuple[Datagrams, Datagrams]) -> None:
    sender, receiver = two
    seen: list[Address] = []
    for _ in range(2):
        sender.send(receiver.address, [b"data"], 4)
        receiver.read(lambda _data, _size, source: seen.append(source[:2]))
    assert seen == [sender.address] * 2


def test_the_source_over_the_other_family(make: Callable[[socket.socket], DatagramReader]) -> None:
    seen: list[Address] = []
    try:
        with bound("::1") as sender, bound("::1") as receiver:
            receiver.reader = make(receiver.socket)
            sender.send(receiver.address, [b"data"], 4)
            receiver.read(lambda _data, _size, source: seen.append(source[:2]))
            assert seen == [sender.address]
    except OSError:
        pytest.skip("no IPv6 here")


def test_a_turn_ends_while_more_is_there(two: tuple[Datagrams, Datagrams]) -> None:
    """Other tasks get their turns, however fast datagrams arrive."""
    sender, receiver = two
    taken: list[int] = []
    for _ in range(2):  # the first read may show that datagrams are large
        for _ in range(60):
            sender.send(receiver.address, [bytes(60_000)], 60_000)
        turns = 1
        while receiver.read(lambda data, _size, _source: taken.append(len(data))):
            turns += 1
    assert turns > 1
    assert taken
    assert sum(taken) % 60_000 == 0


def test_an_error_of_an_earlier_datagram_ends_no_reading_one_by_one() -> None:
    class Refusing:
        def __init__(self, sock: socket.socket) -> None:
            self._socket, self._refused = sock, False

        def recvmsg_into(self, buffers: list[memoryview], ancillary: int) -> object:
            if not self._refused:
                self._refused = True
                raise OSError(errno.ECONNREFUSED, "refused")
            return self._socket.recvmsg_into(buffers, ancillary)

    with bound() as sender, bound() as receiver:
        receiver.reader = OneByOne(Refusing(receiver.socket))  # type: ignore[arg-type]
        sender.send(receiver.address, [b"data"], 4)
        assert pieces(read(receiver)) == [b"data"]
