"""`peersockets keys`: identities that stay, as files for `--key-file`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from peersockets_core import KeyPair

from .options import SEED, identity, warn_of_seed

_ANY_OTHER = stat.S_IRWXG | stat.S_IRWXO


def default_key_file() -> Path:
    """Where `keys` looks unless told: beside the settings of other programs of this user."""
    return Path(click.get_app_dir("peersockets")) / "key"


_FILE = click.argument(
    "file", type=click.Path(dir_okay=False, path_type=Path), required=False, metavar="[FILE]"
)


@click.group()
def keys() -> None:
    """Make and show identities that stay the same from run to run.

    A key file holds a seed of 32 bytes as 64 hex digits; who has it can pass for you. It gives one public
    key on each wire. FILE is by default `key` in the settings folder (on Linux ~/.config/peersockets/key).
    Other commands use an identity only where --key-file names it, and otherwise a new one each time.

    \b
    Examples:
        peersockets keys new
        peersockets chat DRIVE --key-file ~/.config/peersockets/key --connect 127.0.0.1:4200
    """


@keys.command()
@_FILE
def new(file: Path | None) -> None:
    """Write a new seed to FILE, which only you can read, and print its public keys.

    A file that is there already is not touched, and the exit status is 1.

    \b
    Example:
        peersockets keys new bot.key
    """
    path = file or default_key_file()
    key_pair = KeyPair.generate(os.urandom)
    try:
        if file is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, f"{key_pair.seed.hex()}\n".encode())
    except FileExistsError:
        raise click.ClickException(f"{str(path)!r} exists, and is not overwritten") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {str(path)!r}: {error.strerror}") from None
    _print(key_pair, path)


@keys.command()
@_FILE
@click.option("--seed", metavar="HEX", type=SEED, help="Show the keys of this seed instead.")
def show(file: Path | None, seed: KeyPair | None) -> None:
    """Print the public keys of FILE, or of a seed.

    \b
    Examples:
        peersockets keys show bot.key
        peersockets keys show | awk '$1 == "hypercore11" { print $2 }'
    """
    if seed is not None and file is not None:
        raise click.UsageError("FILE and --seed exclude each other")
    if seed is not None:
        warn_of_seed()
        _print(seed)
        return
    path = file or default_key_file()
    key_pair = identity(path, "FILE")
    mode = path.stat().st_mode
    if mode & _ANY_OTHER:
        warning = f"others may use {str(path)!r} (mode {stat.S_IMODE(mode):04o}); chmod 600 keeps it yours"
        click.echo(f"peersockets: warning: {warning}", err=True)
    _print(key_pair, path)


def _write(path: Path, data: bytes) -> None:
    """Write a new file, readable by its owner only. Raises `OSError`, leaving nothing half-written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as target:
            target.write(data)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _print(key_pair: KeyPair, path: Path | None = None) -> None:
    if path is not None:
        click.echo(f"file {path}")
    for wire, public_key in key_pair.public_keys.items():
        click.echo(f"{wire} {public_key.hex()}")
