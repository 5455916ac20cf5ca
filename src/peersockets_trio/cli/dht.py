"""`peersockets dht`: runs a node of the DHT, the first of a private network or one more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click
import trio

from peersockets_core import Address

from ..node import open_node
from ..runtime.addresses import local_addresses
from ..runtime.bootstrap import is_ipv4
from ..swarm import Swarm
from . import streams
from .ending import Ending, run
from .options import BIND_ADDRESS, bootstrap_option

_SAVE_INTERVAL: Final = 300.0
"""Seconds between two saves of the known nodes."""
_LOOK: Final = 1.0


@click.command()
@click.option(
    "--listen",
    metavar="HOST:PORT",
    type=BIND_ADDRESS,
    required=True,
    help="Bind the UDP socket to this address; port 0 takes any free port.",
)
@bootstrap_option()
@click.option(
    "--nodes",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the known nodes to this file, and begin with them the next time.",
)
def dht(listen: Address, bootstrap: tuple[Address, ...], nodes: Path | None) -> int:
    """Run a node of the DHT until the command is ended.

    The first line on stdout is the address that others give as --bootstrap. Without --bootstrap, the node
    begins a network of its own. With --bootstrap, it joins a network, and keeps the announcements of others.
    A private network needs no public nodes.

    With --listen 0.0.0.0:PORT, others reach the node at each address of this host, and the first line shows
    the one that leads to the internet. All others must pass this same address, because the id of a node is
    derived from its address.

    The exit status is 0 after SIGTERM and 130 after Ctrl-C.

    \b
    Examples:
        peersockets dht --listen 127.0.0.1:49737
        peersockets chat DRIVE --bootstrap 127.0.0.1:49737
    """
    return run(_run, listen, bootstrap, nodes)


async def _run(ending: Ending, listen: Address, bootstrap: tuple[Address, ...], file: Path | None) -> None:
    known = (*bootstrap, *_load(file))
    async with (
        open_node() as node,
        node.open_swarm(
            bootstrap=[(address.host, address.port) for address in known],
            host=listen.host,
            port=listen.port,
            persistent=True,
        ) as swarm,
    ):
        streams.say(str(Address(*_address(swarm, known))))
        with ending.unless_asked():
            await _report(swarm, file)
        _save(swarm, file)


def _address(swarm: Swarm, known: tuple[Address, ...]) -> tuple[str, int]:
    """Return the address at which others reach the node. If there are several, return the first one."""
    return local_addresses(swarm.bound_address, [at.host for at in known if is_ipv4(at.host)])[0]


async def _report(swarm: Swarm, file: Path | None) -> None:
    """Show the number of known nodes on stderr when it changes, and save the nodes now and then."""
    shown, saved = -1, trio.current_time()
    while True:
        count = swarm.statistics().nodes
        if count != shown:
            streams.complain(f"{count} {'node is' if count == 1 else 'nodes are'} known")
            shown = count
        if trio.current_time() - saved >= _SAVE_INTERVAL:
            _save(swarm, file)
            saved = trio.current_time()
        await trio.sleep(_LOOK)


def _load(file: Path | None) -> list[Address]:
    """Read the nodes of an earlier run, one address per line; returns none if the file does not exist yet."""
    if file is None:
        return []
    try:
        lines = file.read_text("ascii").split()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise click.FileError(str(file), "it must hold one HOST:PORT per line") from None
    try:
        return [Address.parse(line) for line in lines]
    except ValueError as error:
        raise click.FileError(str(file), str(error)) from None


def _save(swarm: Swarm, file: Path | None) -> None:
    """Replace the file with the known nodes in one step, so that a full disk does not destroy the old
    file.
    """
    if file is None:
        return
    text = "".join(f"{Address(*address)}\n" for address in swarm.nodes())
    beside = file.with_name(f"{file.name}.new")
    try:
        beside.write_text(text, "ascii")
        os.replace(beside, file)
    except OSError as error:
        streams.complain(f"cannot save the nodes: {file}: {error.strerror}")
