"""The command `peersockets`: each command has a module, and `options` holds the options that they share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
import trio

from peersockets_core import PeersocketsError

from ..runtime.telemetry import explain
from . import ending, log, streams
from .chat import chat
from .completion import completion
from .demo import demo
from .dht import dht
from .keys import keys
from .pipe import pipe
from .send import send
from .serve import serve
from .text import without_keys
from .trace import trace
from .watch import watch


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="peersockets", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="Log connections to stderr; twice for details.")
def cli(verbose: int) -> None:
    """Send and receive topic messages among the peers of a Hyperdrive.

    \b
    Try it with two peers on this machine:
        peersockets demo
    Talk:
        peersockets chat DRIVE
    Send one message:
        peersockets send DRIVE --topic chat --all hello
    See who is there:
        peersockets watch DRIVE
    Let a program take part, with one JSON object per line:
        peersockets pipe DRIVE --topic chat
    Take part from a page in your browser:
        peersockets serve DRIVE --open
    Begin a private network, for --bootstrap of other commands:
        peersockets dht --listen 127.0.0.1:49737

    DRIVE is a drive key: 64 hex digits, 52 characters of z-base-32, or a hyper:// or pear:// URL. It is a
    secret of the drive's members, but ps shows arguments to everyone on this machine. DRIVE may therefore
    also be @FILE, a file that holds the key. It may be left out if the environment variable
    PEERSOCKETS_DRIVE holds the key.
    """
    log.set_up(verbose)


for _command in (demo, chat, watch, send, pipe, serve, dht, keys, trace, completion):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with a status from `docs/commands.md`."""
    sys.exit(_status(arguments))


def _status(arguments: Sequence[str] | None) -> int:
    try:
        ending.raise_on_signals()
        streams.set_up()
        result = cli.main(arguments, prog_name="peersockets", standalone_mode=False)
        status = result if isinstance(result, int) else 0
    except BaseException as error:
        status = _failure(error)
    ending.leave_on_signals(status)
    log.finish()
    return streams.finish(status)


def _failure(error: BaseException) -> int:
    match error:
        case BaseExceptionGroup():  # nurseries group even a single error
            return _failure(error.exceptions[0])
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return error.exit_code
        case click.UsageError():
            # The message repeats arguments. These may include a key, misplaced or misspelled.
            return _complain(without_keys(error.format_message()), error.exit_code)
        case click.ClickException():
            return _complain(error.format_message(), error.exit_code)
        case SystemExit(code=int(status)):
            if status == 128 + signal.SIGINT:
                streams.end_line()
            return status
        case KeyboardInterrupt() | click.Abort():
            return 128 + signal.SIGINT
        case BrokenPipeError():  # the reader of our output has gone
            return 1
        case OSError() | PeersocketsError() | trio.BrokenResourceError():
            return _complain(explain(error), 1)
    raise error


def _complain(text: str, status: int) -> int:
    log.finish()
    streams.complain(" ".join(text.split()))
    return status
