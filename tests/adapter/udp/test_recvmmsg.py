"""`peersockets_trio.udp.recvmmsg`: the system call; `test_readers` tests the runs."""

from __future__ import annotations

import ctypes
import errno

import pytest

from adapter.udp.support import bound, pieces, read
from peersockets_trio.udp import recvmmsg

pytestmark = pytest.mark.skipif(not recvmmsg.AVAILABLE, reason="the system has no recvmmsg")


def test_it_is_used_where_the_system_has_it() -> None:
    with bound() as receiver:
        assert isinstance(receiver.reader, recvmmsg.Batches)


def test_an_error_of_an_earlier_datagram_ends_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    call, errors = recvmmsg.CALL, [errno.ECONNREFUSED]

    def refuse(*arguments: object) -> int:
        if errors:
            ctypes.set_errno(errors.pop())
            return -1
        return int(call(*arguments))

    with bound() as sender, bound() as receiver:
        monkeypatch.setattr(recvmmsg, "CALL", refuse)
        sender.send(receiver.address, [b"data"], 4)
        assert pieces(read(receiver)) == [b"data"]
    assert not errors


def test_a_call_reads_as_many_datagrams_as_a_sender_puts_into_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    call, counts = recvmmsg.CALL, []

    def count(*arguments: object) -> int:
        counts.append(int(call(*arguments)))
        return counts[-1]

    with bound() as sender, bound() as receiver:
        monkeypatch.setattr(recvmmsg, "CALL", count)
        for number in range(50):
            sender.send(receiver.address, [bytes([number]) * 20], 20)
        assert len(read(receiver)) == 1
    assert counts == [50]


def test_large_datagrams_are_read_a_turn_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    call, asked = recvmmsg.CALL, []

    def count(*arguments: int) -> int:
        asked.append(arguments[2])
        return int(call(*arguments))

    with bound() as sender, bound() as receiver:
        monkeypatch.setattr(recvmmsg, "CALL", count)
        for large in (True, True, False, False, True):
            for _ in range(10):
                data = bytes(60_000 if large else 20)
                sender.send(receiver.address, [data], len(data))
            read(receiver)
    assert asked == [64, 8, 8, 8, 64, 64, 64]


def test_a_system_without_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert recvmmsg.find() is None
