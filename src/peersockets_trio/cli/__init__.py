"""The command `peersockets`: one module a command, `options` for what they share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
import trio

from peersockets_core import PeersocketsError

from .demo import demo
from .pipe import pipe
from .trace import trace

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="peersockets", message="%(prog)s %(version)s")
def cli() -> None:
    r"""Send and receive topic messages among the peers of a Hyperdrive.

    \b
    Try it, with two peers on this machine:
        peersockets demo
    Let a program take part, one JSON object a line:
        peersockets pipe DRIVE --topic chat --listen 127.0.0.1:4200
    """


cli.add_command(demo)
cli.add_command(pipe)
cli.add_command(trace)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit: 0 for success, 1 for failure, 2 for bad usage."""
    sys.exit(_status(arguments))


def _status(arguments: Sequence[str] | None) -> int:
    try:
        status = cli.main(arguments, prog_name="peersockets", standalone_mode=False)
    except BaseException as error:
        return _failure(error)
    return status if isinstance(status, int) else 0


def _failure(error: BaseException) -> int:
    match error:
        case BaseExceptionGroup():  # nurseries group even a single error
            return _failure(error.exceptions[0])
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return error.exit_code
        case click.ClickException():
            return _complain(error.format_message(), error.exit_code)
        case KeyboardInterrupt() | click.Abort():
            return _INTERRUPTED
        case BrokenPipeError():  # whoever read our output has gone
            return 1
        case OSError() | PeersocketsError() | trio.BrokenResourceError():
            return _complain(_explain(error), 1)
    raise error


def _complain(text: str, status: int) -> int:
    click.echo(f"peersockets: {' '.join(text.split())}", err=True)
    return status


def _explain(error: Exception) -> str:
    # trio.open_tcp_stream tells which address failed, and has the reason as its cause.
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and cause.errno is not None:
        return f"{error}: {os.strerror(cause.errno)}"
    return str(error)
