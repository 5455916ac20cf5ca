"""`peersockets serve`: a page in an ordinary browser takes part in a drive's topics."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click
import trio

from peersockets_core import DriveKey

from ..drive import Drive
from ..node import Node
from . import streams
from .ending import Ending, run
from .options import NodeOptions, drive_argument, node_options, report_failure
from .swarming import SwarmReport
from .text import UNREACHABLE

if TYPE_CHECKING:
    from ..browser import Gateway

_FIRST_PORT: Final = 20_000
_PORTS: Final = 12_768
"""The number of ports to choose from. All are below 32768, where Linux's ports of outgoing connections
begin."""

_REFUSED: Final = {
    "topic_scope": "serve has no --topic-scope: pages use the topics of Beaker",
    "topics": "serve has no --topic: pages join topics by themselves",
}

# The address would show the token in the output of ps. A file shows only its own name.
_OPENING: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}"><title>peersockets</title></head></html>
"""
_OPEN: Final = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


@click.command()
@drive_argument
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Serve the files of this folder. Default: a chat.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port on 127.0.0.1 and ::1; 0 takes any free port. Default: one that follows from DRIVE.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in your browser.")
@node_options
def serve(drive: DriveKey, folder: Path | None, port: int | None, opens: bool, options: NodeOptions) -> int:
    """Give web pages in your browser `beaker.peersockets` on DRIVE, until the command is ended.

    The first line of the output is the address to open. It holds a token, which lets your browser in:
    everyone who has the address can speak as you on DRIVE. With --key-file, the address is the same the next
    time, and pages that are still open connect again by themselves.

    Without --folder, the page is a chat on the topic "chat", as in the command `chat`. Pages of --folder can
    talk as you on every topic of DRIVE, so serve only pages that you trust. The gateway serves regular files,
    except those whose name begins with a dot, and follows no links.

    The exit status is 0 after SIGTERM, 130 after Ctrl-C, and 1 if the port is not free.

    \b
    Examples:
        peersockets serve DRIVE --open
        peersockets serve DRIVE --folder site --key-file me.key
        peersockets serve DRIVE --connect 127.0.0.1:4200 --port 8080
    """
    for parameter, text in _REFUSED.items():
        source = click.get_current_context().get_parameter_source(parameter)
        if source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(text)
    try:
        from ..browser import open_gateway, token_of
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "websockets":
            raise
        raise click.ClickException("serve needs websockets: pip install 'peersockets[serve]'") from None
    opening = partial(
        open_gateway,
        token=token_of(options.key_pair, drive),
        folder=folder,
        port=port_of(drive) if port is None else port,
    )
    return run(_run, drive, opening, opens, options)


def port_of(drive: DriveKey) -> int:
    """Return the port of a drive. A browser keeps a site's data by port, too, so it must not change."""
    return _FIRST_PORT + int.from_bytes(drive.discovery_key[-4:]) % _PORTS


async def _run(
    ending: Ending,
    key: DriveKey,
    open_gateway: Callable[[Node, Drive], AbstractAsyncContextManager[Gateway]],
    opens: bool,
    options: NodeOptions,
) -> None:
    if not options.reachable:
        streams.complain(UNREACHABLE)
    async with options.open_node(SwarmReport()) as node, options.open_swarm(ending, node) as swarm:
        drive = node.open_drive(key)
        async with open_gateway(node, drive) as gateway:
            with ending.unless_asked():
                options.show_listening(await options.start(node))
                options.join(swarm, drive)
                streams.say(gateway.url)
                streams.note(f"serving {gateway.origin}")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(options.keep_connected, node, nursery, report_failure)
                    if opens:
                        nursery.start_soon(_open_browser, gateway.url)
                    await trio.sleep_forever()


async def _open_browser(url: str) -> None:
    """Open an address in the user's browser, through a private file that stays until the command ends."""
    with TemporaryDirectory(prefix="peersockets-") as folder:  # only its owner may enter it
        file = Path(folder) / "open.html"
        file.write_text(_OPENING.format(url=escape(url)))
        command = [sys.executable, "-c", _OPEN, file.as_uri()]
        opened = await trio.run_process(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if opened.returncode:
            streams.complain("no browser could be opened; open the address by hand")
        await trio.sleep_forever()
