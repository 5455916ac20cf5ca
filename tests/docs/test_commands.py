"""docs/commands.md has every command and every option that `--help` shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from docs.markdown import ROOT
from peersockets_trio.cli import cli

PAGE = (ROOT / "docs" / "commands.md").read_text()


def commands(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield names, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, *names, name)


COMMANDS = {" ".join(names): command for names, command in commands(cli)}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name])
def test_a_command_is_on_the_page(name: str) -> None:
    assert re.search(rf"`(?:peersockets )?{name}[ `]", PAGE)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_on_the_page(name: str) -> None:
    context = click.Context(COMMANDS[name], info_name=name)
    shown = "\n".join(
        record[0]
        for parameter in COMMANDS[name].get_params(context)
        if (record := parameter.get_help_record(context)) is not None
    )
    options = set(re.findall(r"--[a-z][a-z0-9-]*", shown))
    assert sorted(option for option in options - {"--help"} if not re.search(rf"`{option}[` ]", PAGE)) == []


def test_every_option_on_the_page_exists() -> None:
    known = {
        option
        for command in COMMANDS.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert set(re.findall(r"`(--[a-z][a-z0-9-]*)", PAGE)) - known - {"--help"} == set()
