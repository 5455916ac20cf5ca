"""The peers of a swarm, filed by the next thing to do with them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import peersockets_core
from core.swarm.support import TOPIC, SwarmNetwork
from peersockets_core.swarm import SwarmLimits
from peersockets_core.swarm.book import PeerBook
from peersockets_core.swarm.peers import PeerSignal

PACKAGE = str(Path(peersockets_core.__file__).parent)


def key(number: int) -> bytes:
    return number.to_bytes(32)


def fail(book: PeerBook, number: int, now: float = 0.0) -> None:
    peer = book.note(key(number))
    peer.signal(PeerSignal.DIAL)
    peer.failed(now, wanted=True, chance=0.0)


def test_waiting_peers_are_queued_when_their_time_has_come() -> None:
    book = PeerBook(10)
    fail(book, 1, now=5.0)
    fail(book, 2, now=0.0)
    assert book.next_retry() == pytest.approx(3.3)
    book.queue_due(3.2)
    assert book.first_queued() is None
    book.queue_due(3.4)
    assert book.first_queued() is book.peers[key(2)]
    assert book.next_retry() == pytest.approx(8.3)
    book.peers[key(1)].signal(PeerSignal.CONNECT)
    assert book.connected == 1
    assert book.next_retry() == math.inf


def test_a_peer_just_lost_is_dialled_first_and_then_the_one_queued_first() -> None:
    book = PeerBook(10)
    for number in (1, 2):
        book.note(key(number)).signal(PeerSignal.QUEUE)
    fail(book, 3)
    book.queue_due(10.0)
    order: list[int] = []
    while (peer := book.first_queued()) is not None:
        order.append(int.from_bytes(peer.public_key))
        peer.signal(PeerSignal.DIAL)
    assert order == [3, 1, 2]


def test_a_queued_peer_that_is_found_again_is_filed_anew() -> None:
    book = PeerBook(10)
    given_up = book.note(key(1))
    given_up.attempts = 4
    given_up.signal(PeerSignal.QUEUE)
    fail(book, 2)
    book.note(key(2)).attempts = 3
    book.queue_due(10.0)
    assert book.first_queued() is book.peers[key(2)]
    given_up.found_again()
    assert book.first_queued() is given_up


def test_the_oldest_peer_never_reached_is_forgotten_first() -> None:
    book = PeerBook(3)
    reached = book.note(key(1))
    reached.connected(0.0)
    reached.failed(1.0, wanted=True, chance=0.0)
    fail(book, 2)
    book.note(key(3)).signal(PeerSignal.QUEUE)
    book.note(key(4))
    assert set(book.peers) == {key(1), key(3), key(4)}
    assert book.next_retry() == reached.retry_at
    for number in (5, 6):
        book.note(key(number))
    assert book.first_queued() is None
    for number in (5, 6):
        book.note(key(number)).connected(0.0)
    book.note(key(7))
    assert set(book.peers) == {key(5), key(6), key(7)}
    book.note(key(7)).connected(0.0)
    book.note(key(8))
    assert len(book.peers) == 4


def steps(do: Callable[[], object]) -> int:
    """Count the package's calls and lines that an action executes. No load on the machine changes this
    measure.
    """
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        # The garbage collector may run callbacks of other packages at any time.
        return trace(frame, event, argument) if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        do()
    finally:
        sys.settrace(before)
    return count


def work(peers: int, drives: int) -> tuple[int, int]:
    """Return the steps of finding the next deadline, and of a retry, in a swarm with many peers and
    drives.
    """
    network = SwarmNetwork(nodes=1)
    machine = network.add_person(limits=SwarmLimits(known_peers=2 * peers)).machine
    for number in range(drives):
        machine.join(key(number), network.now)
    for number in range(peers):
        peer = machine.book.note(key(number))
        peer.topics.add(TOPIC)
        peer.signal(PeerSignal.DIAL)
        peer.failed(network.now, wanted=True, chance=number / peers)
    last = machine.book.peers[key(peers - 1)]

    def change() -> None:
        last.signal(PeerSignal.QUEUE)
        last.signal(PeerSignal.DIAL)
        last.failed(network.now, wanted=True, chance=0.0)
        machine.next_deadline()
        machine.settle(last.public_key)

    return steps(machine.next_deadline), steps(change)


def test_many_peers_and_drives_cost_no_more_than_few() -> None:
    few, many = work(20, 1), work(4000, 1)
    assert few == many
    assert work(20, 200)[0] == few[0]
