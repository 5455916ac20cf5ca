"""Cases of drives, topics and watches."""

from __future__ import annotations

from core.scaling.stage import Action, Case, Remote, case, keys
from core.support import NOW
from peersockets_core import (
    DriveOpened,
    TopicHandle,
)


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
