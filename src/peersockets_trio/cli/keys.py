"""`peersockets keys`: permanent identities, as files for `--key-file`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from peersockets_core import KeyPair

from . import streams
from .options import SEED, identity, warn_of_seed
from .secret_files import new_file


def default_key_file() -> Path:
    """Return the default path of the key file, in the user's settings folder.

    Raises `click.UsageError` if the user has no home folder.
    """
    folder = Path(click.get_app_dir("peersockets"))
    if not folder.is_absolute():  # "~" could not be expanded
        raise click.UsageError("there is no settings folder, since HOME is not set: give FILE")
    return folder / "key"


_FILE = click.argument(
    "file", type=click.Path(dir_okay=False, path_type=Path), required=False, metavar="[FILE]"
)


@click.group()
def keys() -> None:
    """Make and show identities that stay the same from run to run.

    A key file holds a seed of 32 bytes as 64 hex digits. Anyone who has it can impersonate you. The seed
    gives one public key on each wire. The default of FILE is `key` in the settings folder (on Linux
    ~/.config/peersockets/key). Other commands only use an identity that --key-file names; otherwise, they use
    a new one each time.

    \b
    Examples:
        peersockets keys new
        peersockets chat DRIVE --key-file ~/.config/peersockets/key --connect 127.0.0.1:4200
    """


@keys.command()
@_FILE
@click.option("--force", is_flag=True, help="Replace an existing file, whose identity is then lost.")
def new(file: Path | None, force: bool) -> None:
    """Write a new seed to FILE, which only you can read, and print its public keys.

    Without --force, the command does not touch an existing file, and the exit status is 1.

    \b
    Example:
        peersockets keys new bot.key
    """
    path = file or default_key_file()
    key_pair = KeyPair.generate(os.urandom)
    if file is None:
        _make_folder(path.parent)
    with new_file(path, force=force) as target:
        target.write(f"{key_pair.seed.hex()}\n".encode())
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
    _print(identity(path, "FILE"), path)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"cannot make the folder {str(folder)!r}: {error.strerror}") from None


def _print(key_pair: KeyPair, path: Path | None = None) -> None:
    if path is not None:
        streams.say(f"file {path}")
    for wire, public_key in key_pair.public_keys.items():
        streams.say(f"{wire} {public_key.hex()}")
