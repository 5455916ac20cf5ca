"""The options and argument types that commands share."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial, reduce
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import attrs
import click
import trio

from peersockets_core import (
    DEFAULT_LIMITS,
    WIRES,
    Address,
    DriveKey,
    KeyPair,
    Refused,
    TopicScope,
    WireName,
    parse_public_key,
)
from peersockets_core.info import ConnectionInfo
from peersockets_core.topics.naming import TOPIC_SCOPES, check_topic

from ..drive import Drive
from ..instruments import Instrument
from ..node import Node, open_node
from ..reconnect import Connected, KeptConnection
from ..runtime.bootstrap import PUBLIC_BOOTSTRAP
from ..swarm import Discovery, Swarm, hurry, leave_all
from . import streams
from .ending import Ending
from .secret_files import read_file

_LONGEST_ID = 20  # digits

DRIVE_VARIABLE: Final = "PEERSOCKETS_DRIVE"
"""The environment variable that stands in for DRIVE."""

BOOTSTRAP_VARIABLE: Final = "PEERSOCKETS_BOOTSTRAP"
"""The environment variable that stands in for --bootstrap: addresses, separated by commas."""

ReportFailure: TypeAlias = Callable[[Exception, str], None]
"""A function that reports a failed connection attempt; it takes the error and a text for people."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Parsed(click.ParamType):  # type: ignore[type-arg]
    """A parameter that a function parses; the function raises `ValueError` for bad text."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Addresses(_Parsed):
    """The same for several values in an environment variable, separated by commas."""

    envvar_list_splitter = ","


def _topic(text: str) -> str:
    check_topic(text)
    return text


def _seed(text: str) -> KeyPair:
    try:
        return KeyPair.from_seed(bytes.fromhex(text))
    except ValueError:
        raise ValueError("seed must be 64 hex digits") from None


def _seconds(text: str) -> float:
    """Parse a length of time in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"must be a number of seconds, 0 or more, not {text[:80]!r}")
    return seconds


def _bootstrap(text: str) -> Address:
    """Parse the address of a node of the DHT."""
    address = Address.parse(text)
    if ":" in address.host:
        raise ValueError(f"the DHT has IPv4 addresses only, not {text[:80]!r}")
    if address.host == "0.0.0.0":
        raise ValueError("0.0.0.0 stands for every address of a host; give a real one")
    return address


def _peer(text: str) -> int | bytes:
    """Parse a peer id, or a public key of 64 hex digits."""
    if text.isascii() and text.isdecimal() and len(text) < _LONGEST_ID:
        return int(text)
    try:
        return parse_public_key(text, "key")
    except ValueError:
        raise ValueError("must be a peer id or a public key of 64 hex digits") from None


ADDRESS = _Parsed("address", Address.parse)
_SHORTEST: Final = 15.0
"""Seconds. Real peers may wait 10 seconds before a keepalive; this adds half of that."""


def _peer_timeout(text: str) -> float:
    seconds = _seconds(text)
    if seconds < _SHORTEST:
        raise ValueError(f"must be {_SHORTEST:g} seconds or more, since peers may be silent for 10")
    return seconds


BIND_ADDRESS = _Parsed("address", lambda text: Address.parse(text, lowest_port=0))
BOOTSTRAP = _Addresses("address", _bootstrap)
SECONDS = _Parsed("seconds", _seconds)
SEED = _Parsed("seed", _seed)
PEER = _Parsed("peer", _peer)


def _drive(ctx: click.Context, param: click.Parameter, values: tuple[str, ...] | None) -> DriveKey:
    """Parse DRIVE, which must be given exactly once."""
    if not values:
        usage = " ".join((ctx.command_path, *ctx.command.collect_usage_pieces(ctx)))
        raise click.UsageError(
            f"DRIVE is missing in `{usage}`: give it as an argument, as @FILE, or in {DRIVE_VARIABLE}", ctx
        )
    text, *surplus = values
    if surplus:
        raise click.UsageError(f"Got unexpected extra argument ({' '.join(surplus)})", ctx)
    try:
        return DriveKey.parse(read_file(Path(text[1:])) if text.startswith("@") else text)
    except OSError as error:
        raise click.BadParameter(f"{text!r}: {error.strerror}", ctx, param) from None
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


drive_argument = click.argument(
    "drive",
    # Take any number of values, so that DRIVE can be left out before a required argument.
    nargs=-1,
    metavar="[DRIVE]",
    envvar=DRIVE_VARIABLE,
    type=click.UNPROCESSED,
    callback=_drive,
)
"""Gives a command the argument DRIVE."""


@attrs.frozen
class NodeOptions:
    """The values of the common options."""

    topics: tuple[str, ...]
    listen: tuple[Address, ...]
    connect: tuple[Address, ...]
    wire: WireName
    topic_scope: TopicScope
    allow: tuple[bytes, ...]
    swarm: bool
    """Whether to look for peers through HyperDHT."""
    bootstrap: tuple[Address, ...]
    announce: bool
    relay_through: bytes | None
    """The key of a blind relay for peers that cannot be reached otherwise."""
    key_pair: KeyPair
    peer_timeout: float | None = None

    def open_node(self, *instruments: Instrument) -> AbstractAsyncContextManager[Node]:
        """Open a node with this identity, which admits only the allowed keys."""
        limits, seconds = DEFAULT_LIMITS, self.peer_timeout
        if seconds is not None:
            limits = attrs.evolve(limits, silence=seconds, vanished=seconds)
        return open_node(
            key_pair=self.key_pair,
            authenticate=self._check_allowed if self.allow else None,
            limits=limits,
            instruments=instruments,
        )

    @asynccontextmanager
    async def open_swarm(self, ending: Ending, node: Node) -> AsyncIterator[Swarm | None]:
        """Open a swarm, or yield None if `swarm` is False. Raises `OSError`.

        When the command is asked to end, the swarm withdraws its announcements at once, while the command
        finishes its work.
        """
        if not self.swarm:
            yield None
            return
        bootstrap = [(at.host, at.port) for at in self.bootstrap] or PUBLIC_BOOTSTRAP
        async with node.open_swarm(bootstrap=bootstrap, relay_through=self.relay_through) as swarm:
            ending.when_asked(partial(leave_all, swarm))
            ending.when_hurried(partial(hurry, swarm))
            yield swarm

    def join(self, swarm: Swarm | None, drive: Drive) -> Discovery | None:
        """Look for the peers of a drive, and announce it unless `announce` is False."""
        return None if swarm is None else swarm.join(drive, announce=self.announce)

    @property
    def reachable(self) -> bool:
        """Whether there is any way to meet a peer."""
        return bool(self.listen or self.connect or self.swarm)

    @property
    def wires(self) -> tuple[WireName, ...]:
        """The wires on which peers can meet this node: both where it listens."""
        met = {self.wire} if self.connect else set()
        if self.swarm:
            met.add("hypercore11")
        return tuple(wire for wire in WIRES if wire in met or self.listen or not met)

    async def _check_allowed(self, info: ConnectionInfo) -> None:
        if info.public_key not in self.allow:
            raise Refused("its key is not one of those allowed")

    async def keep_connected(self, node: Node, nursery: trio.Nursery, report: ReportFailure) -> None:
        """Connect to each address, and reconnect whenever that fails or ends.

        Call `report` with the first failure of a series. Returns when each address has been connected, or
        has failed once.
        """
        kept = [node.keep_connected(at, wire=self.wire) for at in self.connect]
        for connection in kept:
            await nursery.start(_follow, connection, report)

    async def start(self, node: Node) -> list[Address]:
        """Listen at each address; returns the bound addresses. Raises `OSError`, which names the address."""
        bound = []
        for address in self.listen:
            listeners = await node.listen_tcp(address.port, host=address.host)
            bound += [listener.address for listener in listeners]
        return bound

    def show_listening(self, bound: list[Address]) -> None:
        """Show on stderr the addresses at which we listen, because port 0 stands for an unknown port."""
        for address in bound:
            streams.note(f"listening on {address}")


async def _follow(
    kept: KeptConnection,
    report: ReportFailure,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    failing = False
    with suppress(trio.ClosedResourceError):  # the node was closed
        async for event in kept:
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            if isinstance(event, Connected):
                failing = False
            elif event.error is not None and not failing:
                failing = True
                report(event.error, f"{kept.address}: {event.reason}")


def warn_of_seed() -> None:
    """Warn on stderr about a secret among the arguments."""
    text = "ps shows --seed to everyone on this machine; --key-file keeps it private"
    streams.complain(f"warning: {text}")


def report_failure(error: Exception, text: str) -> None:
    """Report a failure to connect on stderr."""
    streams.complain(f"{text}; trying again")


def bootstrap_option(**more: Any) -> Callable[[_Command], _Command]:
    """Give a command the option --bootstrap; `more` goes to `click.option`."""
    return click.option(
        "--bootstrap",
        metavar="HOST:PORT",
        type=BOOTSTRAP,
        multiple=True,
        **{"help": "Begin with this node of the DHT; repeat for several.", **more},
    )


_OPTIONS = (
    click.option(
        "--topic",
        "topics",
        metavar="NAME",
        type=_Parsed("topic", _topic),
        multiple=True,
        help="Join a topic.",
    ),
    click.option(
        "--listen",
        metavar="HOST:PORT",
        type=BIND_ADDRESS,
        multiple=True,
        help="Accept connections at this address; port 0 takes any free port.",
    ),
    click.option(
        "--connect",
        metavar="HOST:PORT",
        type=ADDRESS,
        multiple=True,
        help="Connect to this address, and reconnect whenever that fails or ends.",
    ),
    click.option(
        "--wire",
        type=click.Choice(WIRES),
        default=WIRES[-1],
        show_default=True,
        help="The wire of the peers at --connect.",
    ),
    click.option(
        "--topic-scope",
        type=click.Choice(TOPIC_SCOPES),
        default="drive",
        show_default=True,
        help="Use the topics of Beaker (drive), or of applications on npm peersockets (network).",
    ),
    click.option(
        "--allow",
        metavar="KEY",
        type=_Parsed("key", lambda text: parse_public_key(text, "key")),
        multiple=True,
        help="Only talk to the peer with this public key; repeat for several.",
    ),
    click.option(
        "--peer-timeout",
        metavar="SECONDS",
        type=_Parsed("seconds", _peer_timeout),
        help=f"Give up a silent peer that acknowledges nothing after this time; {_SHORTEST:g} or more."
        f" Default: {DEFAULT_LIMITS.vanished:g}, or {DEFAULT_LIMITS.silence:g} if it sends keepalives.",
    ),
    click.option(
        "--swarm/--no-swarm",
        default=None,
        help="Find the peers of DRIVE through HyperDHT. Default: on, unless --listen or --connect is given.",
    ),
    bootstrap_option(
        envvar=BOOTSTRAP_VARIABLE,
        help="Begin with this node of the DHT instead of the public ones; repeat for several, or set "
        f"{BOOTSTRAP_VARIABLE}.",
    ),
    click.option(
        "--no-announce",
        "announce",
        flag_value=False,
        default=True,
        help="Look for peers in the DHT without being findable there.",
    ),
    click.option(
        "--relay-through",
        metavar="KEY",
        type=_Parsed("key", lambda text: parse_public_key(text, "key")),
        help="Meet peers at the blind relay with this public key if hole punching fails.",
    ),
    click.option(
        "--seed",
        metavar="HEX",
        type=SEED,
        help="Identity: a seed of 32 bytes as hex, visible to everyone on this machine. Default: a new one.",
    ),
    click.option(
        "--key-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Identity: a file that holds the seed as hex.",
    ),
)


def node_options(command: _Command) -> _Command:
    """Give a command the common options, as a single argument `options`."""

    @click.pass_context
    def collect(ctx: click.Context, /, **arguments: Any) -> Any:
        key_pair = _key_pair(arguments.pop("seed"), arguments.pop("key_file"))
        arguments["swarm"] = _uses_swarm(ctx, arguments)
        names = [field.name for field in attrs.fields(NodeOptions) if field.name != "key_pair"]
        options = NodeOptions(**{name: arguments.pop(name) for name in names}, key_pair=key_pair)
        return ctx.invoke(command, options=options, **arguments)

    collect.__doc__ = command.__doc__
    collect.__name__ = command.__name__
    wrapped: _Command = reduce(lambda inner, option: option(inner), reversed(_OPTIONS), collect)  # type: ignore[assignment]
    return wrapped


def _uses_swarm(ctx: click.Context, arguments: dict[str, Any]) -> bool:
    """Decide whether to use a swarm if neither --swarm nor --no-swarm is given."""
    if arguments["swarm"] is not None:
        return bool(arguments["swarm"])
    asked = ctx.get_parameter_source("bootstrap") is click.core.ParameterSource.COMMANDLINE
    return asked or not (arguments["listen"] or arguments["connect"])


def _key_pair(seed: KeyPair | None, key_file: Path | None) -> KeyPair:
    if seed is not None and key_file is not None:
        raise click.UsageError("--seed and --key-file exclude each other")
    if key_file is not None:
        return identity(key_file, "--key-file")
    if seed is None:
        return KeyPair.generate(os.urandom)
    warn_of_seed()
    return seed


def identity(key_file: Path, parameter: str) -> KeyPair:
    """Read a key file. Raises `click.UsageError`, which names the parameter."""
    try:
        return _seed(read_file(key_file))
    except FileNotFoundError as error:
        command = f"peersockets keys new {shlex.quote(str(key_file))}"
        text = f"{parameter} {str(key_file)!r}: {error.strerror}; `{command}` makes one"
        raise click.UsageError(text) from None
    except OSError as error:
        raise click.UsageError(f"{parameter} {str(key_file)!r}: {error.strerror}") from None
    except ValueError:
        raise click.UsageError(f"{parameter} {str(key_file)!r} must hold 64 hex digits") from None
