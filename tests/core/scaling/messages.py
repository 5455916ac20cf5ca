"""Cases of messages: those that are taken, dropped and sent, and events of a watch."""

from __future__ import annotations

import attrs

from core.scaling.stage import NAME, Action, Case, case
from peersockets_core import (
    DEFAULT_LIMITS,
    MessagesReceived,
    Overflow,
    TopicHandle,
)


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
