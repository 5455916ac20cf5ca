"""`peersockets watch`: shows members that join and leave, one line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import click
import trio

from peersockets_core import DriveKey, PeerEvent, PeerJoined

from ..node import Node
from ..swarm import Swarm
from . import streams
from .ending import Ending, run
from .lines import Output, member_event
from .options import NodeOptions, drive_argument, node_options, report_failure
from .swarming import SwarmReport, explain_absence
from .text import UNREACHABLE


@click.command()
@drive_argument
@click.option("--json", "as_json", is_flag=True, help="Write the join and leave events of `pipe`.")
@node_options
def watch(drive: DriveKey, as_json: bool, options: NodeOptions) -> int:
    """Show the peers that join and leave DRIVE, one line each, until the command is ended.

    A line has the time, "join" or "leave", the peer's id, its public key and its wire. The line of a leave
    may end with the reason.

    The exit status is 0 after SIGTERM, 130 after Ctrl-C, and 1 if the reader of the output has gone.

    \b
    Examples:
        peersockets watch DRIVE --listen 127.0.0.1:4200
        peersockets watch DRIVE --connect 127.0.0.1:4200 --json | jq .publicKey
    """
    return run(_run, drive, options, _describe_json if as_json else _describe)


async def _run(
    ending: Ending, key: DriveKey, options: NodeOptions, describe: Callable[[PeerEvent], str]
) -> None:
    output = Output(ending)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.run)
        report = SwarmReport()
        async with options.open_node(report) as node, options.open_swarm(ending, node) as swarm:
            with ending.unless_asked():
                await _watch(node, swarm, report, key, options, describe, output)
        output.finish()


async def _watch(
    node: Node,
    swarm: Swarm | None,
    report: SwarmReport,
    key: DriveKey,
    options: NodeOptions,
    describe: Callable[[PeerEvent], str],
    output: Output,
) -> None:
    if not options.reachable:
        streams.complain(UNREACHABLE)
    options.show_listening(await options.start(node))
    drive = node.open_drive(key, topic_scope=options.topic_scope)
    options.join(swarm, drive)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(options.keep_connected, node, nursery, report_failure)
        if swarm is not None:
            nursery.start_soon(explain_absence, drive, swarm, report)
        async for event in drive.watch():
            output.write_text(describe(event))
            await output.room()


def _describe_json(event: PeerEvent) -> str:
    return json.dumps(member_event(event), separators=(",", ":"))


def _describe(event: PeerEvent) -> str:
    now = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    kind = "join " if isinstance(event, PeerJoined) else "leave"
    line = f"{now} {kind} {event.peer_id} {event.public_key.hex()} {event.wire}"
    reason = "" if isinstance(event, PeerJoined) else event.reason
    return f"{line} {reason}".rstrip()
