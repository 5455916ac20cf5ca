"""Cases of connections and members."""

from __future__ import annotations

import attrs

from core.scaling.stage import Action, Case, Remote, case
from core.support import KEY, NOW, frame
from peersockets_core import (
    DEFAULT_LIMITS,
    DriveClosed,
    DriveOpened,
    Event,
)
from peersockets_core.wires.hypercore9.messages import Options


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
