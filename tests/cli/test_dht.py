"""`peersockets dht`: nodes that begin a private network, or join one and remember its nodes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cli.networks import finish, line, pipe, started
from cli.support import KEY, complaint, run


def test_a_network_that_is_begun_on_every_address() -> None:
    with started("dht", "--listen", "0.0.0.0:0") as node:
        address = line(node).decode()
        assert not address.startswith("0.")
        with pipe("--bootstrap", address) as there:
            sent = run("send", KEY.url, "hello", "--topic", "chat", "--all", "--bootstrap", address)
            assert sent.returncode == 0, sent.stderr
            assert b"announced at 1 node of the DHT\n" in sent.stderr
            finish(there)
    assert "give a real one" in complaint(run("watch", KEY.url, "--bootstrap", "0.0.0.0:5"), 2)


def test_a_node_that_joins_a_network_keeps_it_alive(tmp_path: Path, bootstrap: str) -> None:
    nodes = tmp_path / "nodes"
    options = ("--listen", "127.0.0.1:0", "--bootstrap", bootstrap, "--nodes", str(nodes))
    with started("dht", *options) as second, started("dht", *options[:4]) as third:
        address = line(second).decode()
        line(third)
        with pipe("--bootstrap", address) as there:
            sent = run("send", KEY.url, "hello", "--topic", "chat", "--all", "--bootstrap", address)
            assert sent.returncode == 0, sent.stderr
            finish(there)
        second.send_signal(signal.SIGTERM)
        finish(second)
    # The next time it begins with the nodes that it knew, and needs no other.
    assert nodes.exists()
    with started("dht", "--listen", "127.0.0.1:0", "--nodes", str(nodes)) as again:
        assert line(again).startswith(b"127.0.0.1:")
        again.send_signal(signal.SIGINT)
        finish(again, 130)


@pytest.mark.parametrize("content", [b"no address", b"\xff"])
def test_a_file_that_lists_no_nodes(tmp_path: Path, content: bytes) -> None:
    nodes = tmp_path / "nodes"
    nodes.write_bytes(content)
    assert str(nodes) in complaint(run("dht", "--listen", "127.0.0.1:0", "--nodes", str(nodes)), 1)
