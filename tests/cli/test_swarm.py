"""Commands that meet with only a drive key, in a DHT of their own on this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from cli.networks import finish, line, pipe, started
from cli.support import COMMAND, KEY, complaint, parse_lines, run

DEAD = "127.0.0.1:9"
"""An address that never answers."""


def test_a_drive_key_and_a_network_are_enough(bootstrap: str) -> None:
    with pipe("--bootstrap", bootstrap) as there:
        sent = run("send", KEY.url, "hello", "--topic", "chat", "--all", "--bootstrap", bootstrap)
        assert sent.returncode == 0, sent.stderr
        assert b"announced at 1 node of the DHT\n" in sent.stderr
        assert b" in the DHT\n" in sent.stderr
        output, _ = finish(there)
    events = parse_lines(output)
    assert [event["event"] for event in events if event["event"] != "found"] == [
        "join",
        "message",
        "leave",
        "closed",
    ]
    assert events[-2]["reason"] == ""


def test_chat_finds_peers(bootstrap: str) -> None:
    with pipe("--bootstrap", bootstrap) as there:
        done = run("chat", KEY.url, "--bootstrap", bootstrap, stdin=b"hello from a pipe\n")
        assert done.returncode == 0, done.stderr
        assert b"in the DHT" in done.stdout
        output, _ = finish(there)
    assert "hello from a pipe" in [event.get("text") for event in parse_lines(output)]


@contextmanager
def announced_chat(bootstrap: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `chat` that has announced itself."""
    with started("chat", KEY.url, "--bootstrap", bootstrap, command=command or COMMAND) as process:
        while b"announced at" not in line(process):
            pass
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_withdraws_the_announcement(bootstrap: str, number: signal.Signals) -> None:
    with announced_chat(bootstrap) as chat:
        chat.send_signal(number)
        finish(chat, 130 if number == signal.SIGINT else 0)
    looked = run("send", KEY.url, "hi", "--topic", "t", "--all", "--wait", "0.5", "--bootstrap", bootstrap)
    assert b"nobody was there" in looked.stderr
    assert b"found" not in looked.stderr


PATIENT = """
import peersockets_command
from peersockets_trio.runtime import swarm_runtime
swarm_runtime.WITHDRAW_TIME = 1e6
peersockets_command.main()
"""


def test_a_second_ctrl_c_ends_at_once() -> None:
    with (
        started("dht", "--listen", "127.0.0.1:0") as node,
        announced_chat(line(node).decode(), sys.executable, "-c", PATIENT) as chat,
    ):
        node.send_signal(signal.SIGSTOP)
        signals = 0
        while chat.poll() is None:
            chat.send_signal(signal.SIGINT)
            signals += 1
            with suppress(subprocess.TimeoutExpired):
                chat.wait(0.3)
        assert signals > 1
        # A third signal may come while Python itself is ending.
        assert chat.returncode in (130, -signal.SIGINT)


def test_watch_shows_peers_that_come(bootstrap: str) -> None:
    with (
        started("watch", KEY.url, "--json", "--bootstrap", bootstrap) as watching,
        pipe("--bootstrap", bootstrap) as there,
    ):
        assert json.loads(line(watching))["event"] == "join"
        finish(there)
        assert json.loads(line(watching))["event"] == "leave"
        watching.send_signal(signal.SIGTERM)
        finish(watching)


def test_looking_without_being_findable(bootstrap: str) -> None:
    with pipe("--bootstrap", bootstrap) as there:
        sent = run(
            "send", KEY.url, "hi", "--topic", "chat", "--all", "--bootstrap", bootstrap, "--no-announce"
        )
        assert sent.returncode == 0, sent.stderr
        assert b"announced" not in sent.stderr
        finish(there)


@pytest.mark.slow
def test_the_environment_names_the_network(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERSOCKETS_BOOTSTRAP", f"{DEAD},{bootstrap}")
    with pipe() as there:
        sent = run("send", KEY.url, "hello", "--topic", "chat", "--all")
        assert sent.returncode == 0, sent.stderr
        finish(there)


def test_finding_nobody_in_time_is_explained(bootstrap: str) -> None:
    arguments = ("send", KEY.url, "hi", "--topic", "chat", "--all", "--wait", "1", "--bootstrap")
    alone = run(*arguments, bootstrap)
    assert alone.returncode == 1
    assert b"(the DHT knows no other peer that announces this drive); nothing was sent" in alone.stderr
    lost = run(*arguments, DEAD)
    assert lost.returncode == 1
    assert b"(no node of the DHT has answered); nothing was sent" in lost.stderr


IMPATIENT = """
import sys
import peersockets_command, peersockets_trio.cli
sys.modules["peersockets_trio.cli.swarming"].MEETING_TIME = 0.5
peersockets_command.main()
"""


def test_a_watch_that_finds_nobody_explains_it_and_continues() -> None:
    command = (sys.executable, "-c", IMPATIENT)
    with started("watch", KEY.url, "--bootstrap", DEAD, command=command) as process:
        assert process.stderr is not None
        shown = process.stderr.readline()
        assert b"nobody is there" in shown
        assert b"(no node of the DHT has answered); still looking" in shown
        process.send_signal(signal.SIGTERM)
        finish(process)


def test_without_a_swarm_or_an_address_there_is_nobody_to_reach() -> None:
    done = run("send", KEY.url, "hi", "--topic", "chat", "--all", "--no-swarm")
    assert "nobody can ever be reached: give --swarm, --listen or --connect" in complaint(done, 1)


def test_with_an_address_there_is_no_swarm_by_default() -> None:
    for options, swarm in (
        (("--listen", "127.0.0.1:0"), False),
        (("--listen", "127.0.0.1:0", "--swarm"), True),
        (("--listen", "127.0.0.1:0", "--bootstrap", DEAD), True),
        (("--no-swarm",), False),
        ((), True),
    ):
        done = run("pipe", KEY.url, *options)
        assert done.returncode == 0
        assert ("swarm" in parse_lines(done.stdout)[0]) == swarm, options


@pytest.mark.parametrize("address", ["[::1]:5", "127.0.0.1", "127.0.0.1:0"])
def test_an_invalid_bootstrap_node(address: str) -> None:
    assert "--bootstrap" in complaint(run("pipe", KEY.url, "--bootstrap", address), 2)
