"""`peersockets trace`: record, show and replay sessions."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Final

import click
import trio

from peersockets_core import Address, DriveKey, TraceError, WireName
from peersockets_core.topics.naming import addresses
from peersockets_core.trace import (
    Command,
    End,
    HandshakeReport,
    MessageReport,
    OpenCommand,
    OpenReport,
    Register,
    Report,
    Send,
    Side,
    Trace,
    draw_secrets,
    read,
    write,
)
from peersockets_core.trace import replay as replay_trace

from . import streams
from .ending import Ending, run
from .lines import input_lines
from .listing import listing
from .live import Live, meet, open_live
from .options import ADDRESS, BIND_ADDRESS, SECONDS, NodeOptions, drive_argument, node_options
from .secret_files import NewFile, new_file

_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_PATIENCE: Final = 10.0
"""Seconds that a peer may take for one line before we end the connection."""
_OLD_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def trace() -> None:
    """Record sessions to files, list their messages, and play them again.

    The files hold all secrets of a session, so record with identities and drives made for the purpose.

    \b
    Examples:
        peersockets trace record session.cbor DRIVE --topic chat --connect 127.0.0.1:4200
        peersockets trace show session.cbor
        peersockets trace replay session.cbor
    """


@trace.command()
@click.argument("file", type=_OLD_FILE)
def show(file: Path) -> None:
    """List the events and decrypted messages in FILE.

    \b
    Example:
        peersockets trace show tests/traces/hypercore11-chat.cbor
    """
    for line in listing(_load(file)):
        streams.say(line)


@trace.command()
@click.argument("file", type=_OLD_FILE)
@click.option("--connect", metavar="HOST:PORT", type=ADDRESS, help="Play the initiator to a live peer.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    type=BIND_ADDRESS,
    help="Play the responder to the first peer that connects.",
)
@click.option(
    "--wait",
    metavar="SECONDS",
    type=SECONDS,
    default=10.0,
    show_default=True,
    help="How long a live peer may take to cause the next report of the recording.",
)
def replay(file: Path, connect: Address | None, listen: Address | None, wait: float) -> int:
    """Play FILE again, and compare everything with the recording.

    Without an address, the command plays each side whose secrets are in FILE in memory, and compares its
    output and reports. With an address, a live peer plays the other side. That peer has other secrets, so
    the command only compares reports. The exit status is 1 if there is a difference.

    \b
    Examples:
        peersockets trace replay session.cbor
        peersockets trace replay session.cbor --connect 127.0.0.1:4200
    """
    if connect is not None and listen is not None:
        raise click.UsageError("--connect and --listen exclude each other")
    recorded = _load(file)
    if connect is None and listen is None:
        _replay_in_memory(recorded)
        return 0
    return run(_replay_live, recorded, connect, listen, wait)


@trace.command()
@click.argument("file", type=_FILE)
@drive_argument
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@node_options
def record(file: Path, drive: DriveKey, force: bool, options: NodeOptions) -> int:
    """Record one connection on DRIVE to FILE, until either side ends it.

    The command sends each line of the input on the first topic, once the peer has opened the drive. It prints
    the messages that it receives. The end of the input ends the connection.

    FILE holds all secrets of the connection, including your identity and the drive's key, so only you can
    read it. The command creates FILE before it connects, and replaces an existing file only with --force.

    \b
    Example:
        peersockets trace record session.cbor DRIVE --topic chat --listen 127.0.0.1:4200
    """
    if len(options.connect) + len(options.listen) != 1:
        raise click.UsageError("give exactly one --connect or --listen")
    streams.check_stdin()
    with new_file(file, force=force) as target:
        return run(_record, target, drive, options)


def _load(file: Path) -> Trace:
    try:
        return read(file.read_bytes())
    except TraceError as error:
        raise TraceError(f"{file}: {error}") from None


# Replaying


def _replay_in_memory(recorded: Trace) -> None:
    replay_trace(recorded)
    for side in recorded.secrets:
        commands, reports = (
            sum(isinstance(entry, kind) and entry.side == side for entry in recorded.entries)
            for kind in (Command, Report)
        )
        streams.say(f"{side}: {commands} commands, {reports} reports; {recorded.comparison} the same")


async def _replay_live(
    ending: Ending, recorded: Trace, connect: Address | None, listen: Address | None, wait: float
) -> int:
    with ending.unless_asked():
        await _play(recorded, connect, listen, wait)
    return ending.unfinished


async def _play(recorded: Trace, connect: Address | None, listen: Address | None, wait: float) -> None:
    stream, side = await meet([listen] if listen else [], [connect] if connect else [])
    if side not in recorded.secrets:
        raise TraceError(f"the trace has no secrets of the {side}, so no player can stand in for it")
    script = [e for e in recorded.entries if isinstance(e, Command | Report) and e.side == side]
    async with open_live(stream, side, recorded.secrets[side], recorded.wire) as live:
        for number, entry in enumerate(script, 1):
            if isinstance(entry, Command):
                live.carry_out(entry)
                continue
            with trio.move_on_after(wait):
                _compare(number, entry, await live.next_report())
                continue
            raise TraceError(f"{_place(number, entry)} did not follow within {wait:g} seconds")
        if not live.recording.closed:
            live.carry_out(End(side))
    streams.say(f"{side}: {len(script)} commands and reports; as recorded")


def _compare(number: int, recorded: Report, report: Report | None) -> None:
    if isinstance(recorded, HandshakeReport) and isinstance(report, HandshakeReport):
        return  # another peer has other keys
    if report != recorded:
        came = "the end" if report is None else str(report)
        raise TraceError(f"{_place(number, recorded)} was expected, not {came:.300}")


def _place(number: int, report: Report) -> str:
    return f"number {number} of commands and reports, {report!s:.300},"


# Recording


async def _record(ending: Ending, file: NewFile, key: DriveKey, options: NodeOptions) -> int:
    with ending.unless_asked() as meeting:
        stream, side = await meet(options.listen, options.connect)
    if meeting.cancelled_caught:
        return ending.unfinished
    secrets = draw_secrets(options.key_pair, os.urandom)
    async with open_live(stream, side, secrets, options.wire) as live:
        wire = live.recording.wire
        try:
            if wire is not None and not live.recording.closed:
                await _take_part(ending, live, wire, key, options)
        finally:
            if wire is not None:
                _save(file, live, key)
    error = live.recording.player.connection.error
    if error is not None:
        raise error
    if live.unsent:
        raise click.ClickException(f"the peer did not take {live.unsent} bytes in time")
    return 0


async def _take_part(ending: Ending, live: Live, wire: WireName, key: DriveKey, options: NodeOptions) -> None:
    side = live.recording.side
    where = [addresses(key.discovery_key, topic, options.topic_scope)[wire] for topic in options.topics]
    for _, name in where:
        live.carry_out(Register(side, name))
    live.carry_out(OpenCommand(side, key.public_key))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_when_asked, ending, live, side)
        talking = False
        while (report := await live.next_report()) is not None:
            if isinstance(report, MessageReport):
                streams.say(f"{report.name}: {report.payload.decode(errors='replace')!a}")
            if isinstance(report, OpenReport) and not talking:
                talking = True
                streams.say("the peer has opened the drive")
                nursery.start_soon(_talk, ending, live, side, where[:1])
        nursery.cancel_scope.cancel()


async def _talk(ending: Ending, live: Live, side: Side, where: list[tuple[bytes | None, str]]) -> None:
    async for line in input_lines(ending):
        for discovery_key, name in where:
            try:
                live.carry_out(Send(side, discovery_key, name, line or b""))
            except TraceError as error:
                streams.note(f"not sent: {error}")
        with ending.unless_asked(), trio.move_on_after(_PATIENCE) as waiting:
            await live.until_written()
        if waiting.cancelled_caught:
            break
    if not live.recording.closed:
        live.carry_out(End(side))


async def _end_when_asked(ending: Ending, live: Live, side: Side) -> None:
    await ending.wait()
    if not live.recording.closed:
        live.carry_out(End(side))


def _save(file: NewFile, live: Live, key: DriveKey) -> None:
    version = importlib.metadata.version("peersockets")
    shows = f"A session on the drive with the discovery key {key.discovery_key.hex()}."
    recorded = live.recording.trace(shows=shows, produced_by={"peersockets": version})
    file.write(write(recorded))
    streams.say(f"{len(recorded.entries)} entries are in {file.path}")
