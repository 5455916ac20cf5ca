"""The cost of each public operation of the machine grows no faster than the number of its calls.

A cost is the number of executed lines in the machine's own modules, so it is the same in every run.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import attrs
import pytest

import peersockets_core
from core.support import KEY, NOW, Node, RawPeer, entropy, frame
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    DriveClosed,
    DriveKey,
    DriveOpened,
    Event,
    Limits,
    MemoryBudget,
    Message,
    MessagesReceived,
    Overflow,
    Peersockets,
    RequestBook,
    TopicHandle,
    Watch,
)
from peersockets_core.topics.envelope import Kind, encode
from peersockets_core.topics.requests import Answering, News
from peersockets_core.wires.hypercore9.messages import Options

SIZES: Final = (12, 24, 48, 96)
SLACK: Final = 0.03
NAME = f"peersockets/v0/webapp/{KEY.discovery_key.hex()}/chat"
COUNTED = {
    str(path)
    for room in ("memory.py", "topics/*.py", "wires/extensions.py")
    for path in Path(peersockets_core.__file__).parent.glob(room)
}

Action = Callable[[], object]


def lines(action: Action) -> int:
    """Return how many lines of the machine's modules an action executes."""
    count = 0

    def within(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return within

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        return within if frame.f_code.co_filename in COUNTED else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def growth(case: Callable[[int], Action]) -> tuple[list[int], bool]:
    """Return the costs for each of `SIZES`, and whether they grow in proportion, beyond the constant part."""
    costs = [lines(case(size)) for size in SIZES]
    steps = [larger - smaller for smaller, larger in itertools.pairwise(costs)]
    return costs, all(later <= 2 * earlier * (1 + SLACK) for earlier, later in itertools.pairwise(steps))


class Remote:
    """A remote that has shaken hands, and that the machine does not know yet."""

    def __init__(self, node: Node, label: str) -> None:
        self.side = node.connection(initiator=False)
        self.raw = RawPeer(self.side, label=label)
        self.shaken: list[Event] = self.raw.events

    def join(self) -> list[Event]:
        return [*self.shaken, DriveOpened(KEY.discovery_key)]


class Case:
    """A node with an open drive, and remotes that share nothing with it yet."""

    def __init__(self, size: int, *, limits: Limits = DEFAULT_LIMITS, one_key: bool = False) -> None:
        self.node = Node("ours", limits=limits)
        self.machine = self.node.machine
        self.drive = self.node.open()
        self.remotes = [Remote(self.node, "the same" if one_key else f"{number}") for number in range(size)]

    def handle(self, connection: Connection, *events: Event) -> None:
        """Act as the host: close every connection that the machine wants dropped or retired."""
        host = self.node.host
        self.machine.receive_events(connection, list(events), NOW)
        unwanted = [dropped for dropped, _ in host.dropped] + host.retired
        host.dropped.clear()
        host.retired.clear()
        host.noted.clear()
        for gone in unwanted:
            self.machine.remove_connection(gone, NOW)

    def shake_all(self) -> None:
        for remote in self.remotes:
            self.handle(remote.side, *remote.shaken)

    def join_all(self) -> None:
        for remote in self.remotes:
            self.handle(remote.side, *remote.join())

    def send_all(self, *payloads: bytes) -> None:
        for remote in self.remotes:
            if not remote.side.closed:
                self.handle(remote.side, MessagesReceived(None, NAME, list(payloads)))

    def remove_all(self) -> None:
        for remote in self.remotes:
            self.machine.remove_connection(remote.side, NOW)


def keys(size: int) -> list[DriveKey]:
    return [DriveKey(entropy(f"drive {number}")(32)) for number in range(size)]


CASES: dict[str, Callable[[int], Action]] = {}


def case(function: Callable[[int], Action]) -> Callable[[int], Action]:
    CASES[function.__name__.replace("_", " ")] = function
    return function


# Connections and members


@case
def strangers_come_and_go(size: int) -> Action:
    ours = Case(size)

    def action() -> None:
        ours.shake_all()
        ours.remove_all()

    return action


@case
def members_come(size: int) -> Action:
    ours = Case(size)
    ours.machine.join(ours.drive, "chat")
    return ours.join_all


@case
def members_come_and_a_watch_is_not_read(size: int) -> Action:
    ours = Case(size, limits=attrs.evolve(DEFAULT_LIMITS, watch_events=2))
    ours.machine.watch(ours.drive)
    return ours.join_all


@case
def members_go(size: int) -> Action:
    ours = Case(size)
    ours.machine.watch(ours.drive)
    ours.join_all()
    return ours.remove_all


def under_way(members: int, handshakes: int) -> Action:
    ours = Case(members)
    ours.join_all()
    half = [ours.node.connection(initiator=False) for _ in range(handshakes)]

    def action() -> None:
        ours.remove_all()
        for connection in half:
            ours.machine.remove_connection(connection, NOW)

    return action


@case
def members_go_while_a_few_handshakes_are_under_way(size: int) -> Action:
    return under_way(size, 5)


@case
def a_few_members_go_while_handshakes_are_under_way(size: int) -> Action:
    return under_way(5, size)


@case
def a_member_opens_and_closes(size: int) -> Action:
    ours = Case(1)
    ours.machine.watch(ours.drive)
    ours.join_all()
    opened, closed = DriveOpened(KEY.discovery_key), DriveClosed(KEY.discovery_key)
    events: list[Event] = [closed, opened] * size
    return lambda: ours.handle(ours.remotes[0].side, *events)


@case
def connections_of_one_key_without_a_drive(size: int) -> Action:
    ours = Case(size, one_key=True)

    def action() -> None:
        ours.shake_all()
        ours.remove_all()

    return action


@case
def connections_of_one_key_with_a_drive(size: int) -> Action:
    ours = Case(size, one_key=True)

    def action() -> None:
        ours.join_all()
        ours.remove_all()

    return action


@case
def peers_beyond_the_limit_of_ids(size: int) -> Action:
    ours = Case(0, limits=attrs.evolve(DEFAULT_LIMITS, peer_ids=2))

    def action() -> None:
        for number in range(size):  # each begins when the one before it has gone
            remote = Remote(ours.node, f"{number}")
            ours.handle(remote.side, *remote.join())
            ours.machine.remove_connection(remote.side, NOW)

    return action


@case
def the_oldest_strangers_give_way(size: int) -> Action:
    ours = Case(size)
    ours.shake_all()

    def action() -> None:
        while (oldest := ours.machine.oldest_stranger()) is not None:
            ours.machine.remove_connection(oldest, NOW)

    return action


@case
def strangers_keep_too_much(size: int) -> Action:
    ours = Case(size, limits=attrs.evolve(DEFAULT_LIMITS, kept=5 * 100_000))
    ours.shake_all()
    part = frame(0, Options(["x" * 100_000]))[:-1]
    for remote in ours.remotes:
        remote.side.receive_data(remote.raw.encrypt(part), NOW)

    def action() -> None:
        for remote in ours.remotes:
            if not remote.side.closed:
                ours.handle(remote.side)

    return action


@case
def deadlines_of_members_that_wait(size: int) -> Action:
    ours = Case(size)
    ours.join_all()
    ours.node.connection(initiator=False)
    ours.remove_all()
    deadline = ours.machine.next_deadline()
    return lambda: ours.machine.handle_deadline(deadline)


@case
def questions_about_peers(size: int) -> Action:
    ours = Case(size)
    ours.join_all()

    def action() -> None:
        for peer_id, remote in enumerate(ours.remotes, 1):
            peer = ours.machine.peer(peer_id)
            ours.machine.drives_of(peer_id)
            ours.machine.connection_to(peer.wire, peer.public_key)
            ours.machine.may_read(remote.side)
        ours.machine.statistics()

    return action


# Drives, topics and watches


@case
def drives_are_opened_and_closed(size: int) -> Action:
    ours = Case(1)
    ours.join_all()

    def action() -> None:
        opened = [ours.machine.open_drive(key) for key in keys(size)]
        for drive in opened:
            ours.machine.close_drive(drive)

    return action


@case
def a_drive_with_many_members_is_closed(size: int) -> Action:
    ours = Case(size)
    ours.join_all()
    return lambda: ours.machine.close_drive(ours.drive)


@case
def a_connection_comes_to_many_drives(size: int) -> Action:
    ours = Case(0)
    for key in keys(size):
        ours.machine.join(ours.machine.open_drive(key), "chat")

    def action() -> None:
        remote = Remote(ours.node, "one")
        ours.handle(remote.side, *remote.shaken, *(DriveOpened(key.discovery_key) for key in keys(size)))
        ours.machine.remove_connection(remote.side, NOW)

    return action


def joined(ours: Case, size: int) -> list[TopicHandle]:
    return [ours.machine.join(ours.drive, "chat") for _ in range(size)]


@case
def one_topic_is_joined_and_left_many_times(size: int) -> Action:
    ours = Case(1)

    def action() -> None:
        for handle in joined(ours, size):
            handle.close()

    return action


@case
def many_topics_are_joined_and_left(size: int) -> Action:
    ours = Case(1)

    def action() -> None:
        for handle in [ours.machine.join(ours.drive, f"{number}") for number in range(size)]:
            handle.close()

    return action


@case
def many_topics_of_network_scope(size: int) -> Action:
    ours = Case(1)

    def action() -> None:
        handles = [ours.machine.join(ours.drive, f"{number}", scope="network") for number in range(size)]
        for handle in handles:
            handle.close()

    return action


@case
def watches_come_and_go(size: int) -> Action:
    ours = Case(1)

    def action() -> None:
        for watch in [ours.machine.watch(ours.drive) for _ in range(size)]:
            watch.close()

    return action


# Messages


def loud() -> tuple[Case, TopicHandle]:
    ours = Case(1)
    handle = ours.machine.join(ours.drive, "chat")
    ours.join_all()
    return ours, handle


@case
def messages_are_taken_one_by_one(size: int) -> Action:
    ours, handle = loud()

    def action() -> None:
        ours.send_all(*[b"x"] * size)
        for _ in range(size):
            handle.take()

    return action


@case
def messages_are_taken_in_batches(size: int) -> Action:
    ours, handle = loud()

    def action() -> None:
        ours.send_all(*[b"x"] * size)
        while len(handle):
            handle.take_batch(3)

    return action


@case
def many_runs_are_taken_at_once(size: int) -> Action:
    ours = Case(size)
    handle = ours.machine.join(ours.drive, "chat")
    ours.join_all()

    def action() -> None:
        ours.send_all(b"x")
        handle.take_all()

    return action


@case
def messages_are_dropped(size: int) -> Action:
    ours = Case(1, limits=attrs.evolve(DEFAULT_LIMITS, receive_messages=2))
    ways: tuple[Overflow, ...] = ("drop_oldest", "drop_newest")
    for overflow in ways:
        ours.machine.join(ours.drive, "chat", overflow=overflow)
    ours.join_all()

    def action() -> None:
        for _ in range(size):
            ours.send_all(b"x")

    return action


def overfull(size: int) -> tuple[Case, TopicHandle]:
    ours = Case(size, limits=attrs.evolve(DEFAULT_LIMITS, receive_messages=2))
    handle = ours.machine.join(ours.drive, "chat")
    ours.join_all()
    return ours, handle


@case
def many_members_send_to_an_overfull_topic(size: int) -> Action:
    ours, _ = overfull(size)
    return lambda: ours.send_all(b"x", b"y", b"z")


@case
def an_overfull_topic_drains(size: int) -> Action:
    ours, handle = overfull(size)
    ours.send_all(b"x", b"y", b"z")

    def action() -> None:
        while len(handle):
            handle.take()

    return action


@case
def one_read_brings_many_runs_for_an_overfull_topic(size: int) -> Action:
    ours, _ = overfull(size)
    name = NAME
    return lambda: ours.handle(ours.remotes[0].side, *[MessagesReceived(None, name, [b"x"])] * size)


@case
def messages_to_many_members(size: int) -> Action:
    ours = Case(size)
    handle = ours.machine.join(ours.drive, "chat")
    ours.join_all()

    def action() -> None:
        for peer_id in range(1, size + 1):
            handle.send(peer_id, b"x")
            handle.reaches(peer_id)

    return action


@case
def connections_end_while_messages_are_sent(size: int) -> Action:
    ours = Case(size)
    handle = ours.machine.join(ours.drive, "chat")
    ours.join_all()

    def action() -> None:
        for peer_id, remote in enumerate(ours.remotes, 1):
            assert ours.machine.is_member(remote.side)
            assert handle.route(peer_id) is not None
            ours.machine.end_sending(remote.side)
            assert handle.route(peer_id) is None
        assert ours.machine.connections == size
        ours.remove_all()

    return action


@case
def senders_to_an_overfull_topic_go(size: int) -> Action:
    ours, _ = overfull(size)
    ours.send_all(b"x", b"y", b"z")
    return ours.remove_all


@case
def a_watch_is_read(size: int) -> Action:
    ours = Case(size)
    watch = ours.machine.watch(ours.drive)
    ours.join_all()
    ours.remove_all()

    def action() -> None:
        while len(watch):
            watch.take()

    return action


# Requests


def book() -> RequestBook:
    ours = RequestBook(DEFAULT_LIMITS, itertools.count())
    ours.serving = True
    return ours


def said(ours: RequestBook, peer_id: int, kind: Kind, number: int, body: bytes | None = None) -> News | None:
    return ours.receive_untrusted(Message(peer_id, encode(kind, number, body), bytes(32)))


@case
def many_peers_are_asked_and_answer(size: int) -> Action:
    ours = book()

    def action() -> None:
        asked = [ours.ask(peer_id, ours.new_id(peer_id)) for peer_id in range(size)]
        for waiting in asked:
            said(ours, waiting.peer_id, Kind.REPLY, waiting.id, b"")
            waiting.result()
            ours.withdraw(waiting)

    return action


@case
def one_peer_is_asked_many_times_and_goes(size: int) -> Action:
    ours = book()

    def action() -> None:
        for _ in range(size):
            ours.ask(1, ours.new_id(1))
        assert len(ours.lose(1)) == size

    return action


@case
def many_peers_ask_and_cancel(size: int) -> Action:
    ours = book()

    def action() -> None:
        answering = [said(ours, peer_id, Kind.REQUEST, 1, b"") for peer_id in range(size)]
        for peer_id in range(size):
            said(ours, peer_id, Kind.CANCEL, 1)
        for request in answering:
            assert isinstance(request, Answering)
            ours.finish(request)

    return action


@case
def one_peer_asks_too_much(size: int) -> Action:
    ours = RequestBook(attrs.evolve(DEFAULT_LIMITS, peer_requests=4), itertools.count())
    ours.serving = True

    def action() -> None:
        for number in range(size):
            said(ours, 1, Kind.REQUEST, number, b"")

    return action


@case
def the_books_are_closed(size: int) -> Action:
    ours = book()
    for peer_id in range(size):
        ours.ask(peer_id, ours.new_id(peer_id))
        said(ours, peer_id, Kind.REQUEST, 1, b"")

    def action() -> None:
        ours.statistics()
        assert len(ours.peers) == size
        assert len(ours.close(ValueError)) == 2 * size

    return action


# Budgets


@case
def a_budget_is_charged_and_released(size: int) -> Action:
    budget: MemoryBudget[int] = MemoryBudget(10**9)

    def action() -> None:
        for holder in range(size):
            budget.charge(holder, 1)
        for holder in range(size):
            budget.release(holder)

    return action


@pytest.mark.parametrize("name", CASES)
def test_costs_grow_in_proportion(name: str) -> None:
    costs, in_proportion = growth(CASES[name])
    assert in_proportion, f"{name}: {dict(zip(SIZES, costs, strict=True))} lines"


def test_every_public_operation_has_a_case() -> None:
    called: set[CodeType] = set()

    def see(frame: FrameType, event: str, _: Any) -> None:
        called.add(frame.f_code)

    for make in CASES.values():
        action = make(SIZES[0])
        before = sys.getprofile()
        sys.setprofile(see)
        try:
            action()
        finally:
            sys.setprofile(before)
    operations = {
        f"{kind.__name__}.{name}": member.fget if isinstance(member, property) else member
        for kind in (Peersockets, TopicHandle, Watch, RequestBook, MemoryBudget)
        for name, member in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }
    assert [
        name for name, function in operations.items() if getattr(function, "__code__", None) not in called
    ] == []


def test_it_finds_an_operation_that_grows_faster() -> None:
    """Each watch begins with all the members, so many watches cost too much."""

    def watches_of_many_members(size: int) -> Action:
        ours = Case(size)
        ours.join_all()

        def action() -> None:
            for _ in range(size):
                ours.machine.watch(ours.drive)

        return action

    assert not growth(watches_of_many_members)[1]
