"""No test can reach the public nodes of the DHT."""

from __future__ import annotations

import click
import pytest

from peersockets_trio import PUBLIC_BOOTSTRAP, open_node
from peersockets_trio.cli import cli
from peersockets_trio.runtime import bootstrap

COMMANDS = [
    name
    for name, command in cli.commands.items()
    if any(option.name == "bootstrap" for option in command.params)
]


async def test_a_lookup_of_their_names_fails() -> None:
    for node in PUBLIC_BOOTSTRAP:
        with pytest.raises(AssertionError, match="a test needs a bootstrap list of its own"):
            await bootstrap.resolve([("127.0.0.1", 9), node])


async def test_a_swarm_that_begins_with_them_fails() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_node() as node, node.open_swarm(host="127.0.0.1") as swarm:
            await swarm.join(bytes(32)).flushed()
    assert caught.group_contains(AssertionError, match="a test needs a bootstrap list of its own")


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_begin_with_an_address_that_never_answers(name: str) -> None:
    command = cli.commands[name]
    (option,) = (option for option in command.params if option.name == "bootstrap")
    value = option.value_from_envvar(click.Context(command))
    # A DHT node without a list begins a network of its own.
    assert (list(map(str, value)) if value else value) == (None if name == "dht" else ["127.0.0.1:9"])
