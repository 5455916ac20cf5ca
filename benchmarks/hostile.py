"""Measure the harm that attackers do to an honest member: `python -m benchmarks.hostile` (see `--help`).

A node of ours echoes on one topic and drains another. Attackers, threads of a process of their own, send it
whatever the protocol allows and takes the most time, as fast as it is read. Meanwhile an honest member times
round trips on the first topic, and newcomers become members. All processes share the cores of the machine, so
that the attackers' own work shows in the figures, too.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from peersockets_core import Connection, KeyPair
from peersockets_core.topics.naming import addresses
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_core.wires.hypercore9.wire import Hypercore9
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.wire import Hypercore11
from peersockets_trio import Topic, open_node

from .comparison import replace_figures
from .crowd import HOST, KEY, READ_SIZE, Member
from .process import Report, RoleProcess, allow_many_files, arguments, resident, say

NOISE: Final = "noise"
"""The topic that hostile members send to."""

WARM_UP: Final = 100
PAUSE: Final = 0.002
"""Seconds between two round trips of the honest member, and the number of round trips between two
newcomers."""
NEWCOMER_EVERY: Final = 100

_KIB = 1024
_FRAME = 64 * _KIB


@attrs.frozen
class Attack:
    """The bytes that attackers send again and again, once they have shaken hands."""

    name: str
    wire: str
    plain: bytes
    member: bool = False


def _batch(channel: int, parts: bytes) -> bytes:
    return b"\0\0" + encode_uint(channel) + parts


def _noise11() -> bytes:
    name = addresses(KEY.discovery_key, NOISE, "drive")["hypercore11"][1].encode()
    first = b"\x09" + encode_buffer(name) + b"x"
    return _batch(1, encode_uint(len(first)) + first + b"\x03\x09\x00x" * (_FRAME // 4))


def _noise9() -> bytes:
    name = addresses(KEY.discovery_key, NOISE, "drive")["hypercore9"][1]
    names = frames.encode(0, 1, messages.encode(messages.Options([name])))
    return names + (frames.extension_head(0, 1) + b"x") * (_FRAME // 4)


def _offers11() -> bytes:
    parts = (b"\x01" + encode_uint(n) + encode_buffer(b"p") + encode_buffer(b"") for n in range(1, 250))
    closes = (b"\x03" + encode_uint(n) for n in range(1, 250))
    return _batch(0, b"".join(encode_uint(len(part)) + part for part in (*parts, *closes)))


def _offers9() -> bytes:
    offer = frames.encode(3, 0, messages.encode(messages.Open(bytes(32), bytes(32))))
    return offer * (16 * _KIB // len(offer))


ATTACKS: Final = (
    Attack("unknown control messages", "hypercore11", _batch(0, b"\x01\x07" * (_FRAME // 2))),
    Attack("empty channels offered", "hypercore11", _offers11()),
    Attack("frames of two bytes", "hypercore9", b"\x01\x02" * (_FRAME // 2)),
    Attack("one field many times", "hypercore9", frames.encode(0, 2, b"\x08\0" * (_FRAME // 2))),
    Attack(
        "lists of names",
        "hypercore9",
        frames.encode(0, 1, b"".join(b"\x0a\x04%04d" % number for number in range(8000))),
    ),
    Attack("drives offered", "hypercore9", _offers9()),
    Attack("handshakes", "hypercore9", b""),
    Attack("handshakes", "hypercore11", b""),
    Attack("members: tiny messages", "hypercore9", _noise9(), member=True),
    Attack("members: tiny messages", "hypercore11", _noise11(), member=True),
)


# The node


async def _echo(topic: Topic) -> None:
    async for message in topic:
        await topic.send(message.peer_id, message.message)


async def _drain(topic: Topic) -> None:
    while True:
        await topic.receive_batch()


async def _questions() -> None:
    while question := await trio.to_thread.run_sync(os.read, 0, 100):
        del question
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
        say({**resident(), "peak": peak})
    os._exit(0)


async def _serve() -> None:
    async with open_node() as node, node.open_drive(KEY) as drive, trio.open_nursery() as nursery:
        (listener,) = await node.listen_tcp(0, host=HOST)
        nursery.start_soon(_echo, drive.join("bench"))
        nursery.start_soon(_drain, drive.join(NOISE))
        say({"port": listener.address[1]})
        await _questions()


# The attackers

_said: list[int] = []
"""The bytes that all threads have sent."""


def _connection(wire: str) -> Connection:
    return Connection(
        wire=wire,  # type: ignore[arg-type]
        initiator=True,
        key_pair=KeyPair.generate(os.urandom),
        entropy=os.urandom,
        now=0.0,
    )


def _encrypt(connection: Connection, plain: bytes) -> bytes | memoryview:
    """Put any bytes into the encrypted stream, which the public interface does not allow."""
    wire = connection.wire_machine
    if isinstance(wire, Hypercore9):
        assert wire.transmit is not None
        return wire.transmit.apply(plain)
    assert isinstance(wire, Hypercore11)
    return wire.stream.encrypt(plain)


def _attack_once(attack: Attack, port: int) -> None:
    """Connect, and send the bytes again and again until the node closes the connection."""
    with socket.create_connection((HOST, port), timeout=30) as sock:
        connection = _connection(attack.wire)
        if attack.member:
            connection.open_drive(KEY)
        member = Member(sock, connection)
        member.flush()
        while connection.remote_public_key is None or (attack.member and not member.joined):
            member.process(member.read())
        while True:
            sock.sendall(_encrypt(connection, attack.plain))
            _said.append(len(attack.plain))
            while select.select([sock], [], [], 0)[0]:
                if not sock.recv(READ_SIZE):
                    return


def _begin_handshake(first: bytes, port: int) -> None:
    """Begin a handshake, wait until the node has done its part of the work, and leave."""
    with socket.create_connection((HOST, port), timeout=30) as sock:
        sock.sendall(first)
        sock.recv(READ_SIZE)
    _said.append(len(first))


def _attack(attack: Attack, port: int) -> None:
    first = bytes(_connection(attack.wire).data_to_send())
    while True:
        try:
            if attack.plain:
                _attack_once(attack, port)
            else:
                _begin_handshake(first, port)
        except (OSError, SystemExit):
            time.sleep(0.01)


def _attackers(options: Report) -> None:
    attack = ATTACKS[options["attack"]]
    for _ in range(options["count"]):
        threading.Thread(target=_attack, args=(attack, options["port"]), daemon=True).start()
    say({})
    while os.read(0, 100):
        say({"bytes": sum(_said), "at": time.monotonic()})
    os._exit(0)


# The honest member


@attrs.frozen
class Row:
    """The figures of an honest member during one attack."""

    attack: str
    wire: str
    attackers: int
    rate: float
    """MiB a second that the node has taken from them."""
    p50: float
    p99: float
    longest: float
    newcomer: float
    """Milliseconds, like the three figures above: the slowest newcomer, from dialling to membership."""
    joined: int
    peak: float
    """The most MiB of memory that the node has used."""


def _newcomer(wire: str, port: int) -> float:
    start = time.perf_counter()
    member = Member.connect(wire, port)
    while not member.joined:
        member.process(member.read())
    seconds = time.perf_counter() - start
    member.stream.close()
    return seconds


def _round_trip(member: Member) -> float:
    start = time.perf_counter()
    wanted = member.messages + 1
    member.send(b"ping")
    while member.messages < wanted:
        member.process(member.read())
    return time.perf_counter() - start


def measure(attack: int, count: int, seconds: float) -> Row:
    """Let a number of attackers attack a node, and measure it from outside."""
    command = [sys.executable, "-m", "benchmarks.hostile"]
    wire = ATTACKS[attack].wire
    with RoleProcess(command, "server", {}) as server:
        port = server.next()["port"]
        member = Member.connect(wire, port)
        while not member.joined:
            member.process(member.read())
        for _ in range(WARM_UP):
            _round_trip(member)
        options = {"attack": attack, "count": count, "port": port}
        with RoleProcess(command, "attackers", options) as attackers:
            attackers.next()
            time.sleep(0.5)
            before = attackers.ask("said")
            times, newcomers = _look(member, wire, port, seconds)
            after = attackers.ask("said")
        rate = (after["bytes"] - before["bytes"]) / (after["at"] - before["at"])
        peak = server.ask("resident")["peak"] / _KIB**2
        member.stream.close()
    percentiles = statistics.quantiles(times, n=100)
    return Row(
        ATTACKS[attack].name if count else "nobody",
        wire,
        count,
        rate / _KIB**2,
        percentiles[49] * 1e3,
        percentiles[98] * 1e3,
        max(times) * 1e3,
        max(newcomers) * 1e3,
        len(newcomers),
        peak,
    )


def _look(member: Member, wire: str, port: int, seconds: float) -> tuple[list[float], list[float]]:
    times: list[float] = []
    newcomers = [_newcomer(wire, port)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        times.append(_round_trip(member))
        if not len(times) % NEWCOMER_EVERY:
            newcomers.append(_newcomer(wire, port))
        time.sleep(PAUSE)
    return times, newcomers


# The table

HEAD: Final = (
    "| attackers | wire | how many | MiB/s | p50, ms | p99, ms | longest, ms | newcomers, ms | peak, MiB |",
    "|---|---|--:|--:|--:|--:|--:|--:|--:|",
)


def line(row: Row) -> str:
    """One line of the table."""
    times = " | ".join(f"{value:.1f}" for value in (row.p50, row.p99, row.longest, row.newcomer))
    return f"| {row.attack} | {row.wire} | {row.attackers} | {row.rate:.2f} | {times} | {row.peak:.0f} |"


def write(rows: list[Row], page: Path) -> None:
    """Replace the table of a page of the documentation."""
    replace_figures(page, "figures of attacks", (*HEAD, *map(line, rows)))


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each attack goes on (default 5)")
    parser.add_argument("--counts", default="1,4,30", help="numbers of attackers (default 1,4,30)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only attacks with TEXT in name or wire")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into that page")
    options = parser.parse_args()
    rows = []
    print(*HEAD, sep="\n", flush=True)
    chosen = [
        (number, count)
        for number, attack in enumerate(ATTACKS)
        for count in map(int, options.counts.split(","))
        if options.only in f"{attack.name} {attack.wire}"
    ]
    quiet = [(0, 0), (2, 0)] if not options.only else []
    for number, count in (*quiet, *chosen):
        rows.append(measure(number, count, options.seconds))
        print(line(rows[-1]), flush=True)
    if options.page is not None:
        write(rows, options.page)


_ROLES: Final[dict[str, Callable[[Report], None]]] = {
    "server": lambda _: trio.run(_serve),
    "attackers": _attackers,
}

if __name__ == "__main__":
    allow_many_files()
    if len(sys.argv) == 3 and sys.argv[1] in _ROLES:
        role, role_options = arguments()
        _ROLES[role](role_options)
    else:
        main()
