"""`peersockets pipe`: JSON lines in, JSON lines out."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from adapter.support import silent_port
from cli.support import (
    ANY_PORT,
    COMMAND,
    KEY,
    TIME,
    WIRE,
    Event,
    Pipe,
    parse_lines,
    pipe,
    run,
    run_pipe,
    two_pipes,
)
from peersockets_core import KeyPair
from peersockets_trio import Limits, Node, Topic, open_node
from ports import unused_port

MIB = 1024 * 1024
SEED = bytes(range(32)).hex()


def b64(message: bytes) -> str:
    return base64.b64encode(message).decode()


def said(sender: Pipe | Node, topic: str, message: bytes) -> Event:
    """The event of a message from the first peer."""
    event = {
        "event": "message",
        "topic": topic,
        "peerId": 1,
        "publicKey": key_of(sender),
        "message": b64(message),
    }
    try:
        return {**event, "text": message.decode()}
    except UnicodeDecodeError:
        return event


def left(leaver: Pipe | Node, *, reason: str = "", unsent: int = 0) -> Event:
    """Return the event of the first peer's leave."""
    return {
        "event": "leave",
        "peerId": 1,
        "publicKey": key_of(leaver),
        "wire": WIRE,
        "reason": reason,
        "unsent": unsent,
    }


def key_of(peer: Pipe | Node) -> str:
    return str(peer.ready["publicKeys"][WIRE]) if isinstance(peer, Pipe) else peer.public_keys[WIRE].hex()


# Alone


@pytest.mark.parametrize("stdin", ["empty", "/dev/null"])
def test_ready_and_closed(stdin: str) -> None:
    arguments = ("pipe", KEY.url, "--seed", SEED, "--listen", ANY_PORT)
    with open("/dev/null", "rb") as null:
        done = run(*arguments, stdin=null if stdin == "/dev/null" else b"")
    assert done.returncode == 0
    assert done.stderr.startswith(b"peersockets: warning: ps shows --seed ")
    assert done.stderr.count(b"\n") == 1
    ready, closed = done.stdout.splitlines()
    public_keys = {wire: key.hex() for wire, key in KeyPair(bytes.fromhex(SEED)).public_keys.items()}
    (listening,) = json.loads(ready)["listening"]
    assert ready.decode() == json.dumps(
        {
            "event": "ready",
            "discoveryKey": KEY.discovery_key.hex(),
            "publicKeys": public_keys,
            "listening": [listening],
        },
        separators=(",", ":"),
    )
    host, _, port = listening.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert closed == b'{"event":"closed"}'


def test_commands_from_a_file(tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    commands.write_text('{"command":"join","topic":"chat"}\n\n  \n{"command":"peers"}')  # no final newline
    with commands.open("rb") as stdin:
        done = run("pipe", KEY.url, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert parse_lines(done.stdout)[1:] == [{"event": "peers", "peers": []}, {"event": "closed"}]


SEND: Event = {"command": "send", "topic": "chat", "peerId": 1}

WRONG: dict[str, tuple[Event | bytes, str, str]] = {
    "not JSON": (b"hello", "ValueError", "not JSON"),
    "half of JSON": (b'{"command":', "ValueError", "not JSON"),
    "not UTF-8": (b"\xff\xfe\xfd", "ValueError", "not JSON"),
    "deep nesting": (b"[" * 100_000, "ValueError", "not JSON"),
    "a huge number": (b"9" * 10_000, "ValueError", "not JSON"),
    "an array": (b"[]", "ValueError", "must be a JSON object"),
    "text": (b'"peers"', "ValueError", "must be a JSON object"),
    "a number": (b"5", "ValueError", "must be a JSON object"),
    "null": (b"null", "ValueError", "must be a JSON object"),
    "nothing": ({}, "ValueError", "command must be one of join, close, send"),
    "unknown command": ({"command": "dance"}, "ValueError", "not 'dance'"),
    "command of a wrong type": ({"command": ["peers"]}, "ValueError", "command must be one of"),
    "join without topic": ({"command": "join"}, "ValueError", "topic must be text, not null"),
    "join of a number": ({"command": "join", "topic": 1}, "ValueError", "topic must be text, not 1"),
    "join twice": ({"command": "join", "topic": "chat"}, "ValueError", "'chat' is already joined"),
    "join of a lone surrogate": (rb'{"command":"join","topic":"\ud800"}', "ValueError", "lone surrogates"),
    "close of what is not joined": ({"command": "close", "topic": "x"}, "ValueError", "'x' is not joined"),
    "close without topic": ({"command": "close"}, "ValueError", "topic must be text"),
    "send without topic": ({"command": "send", "peerId": 1, "text": ""}, "ValueError", "topic must be text"),
    "send to what is not joined": ({**SEND, "topic": "x", "text": ""}, "ValueError", "'x' is not joined"),
    "send without peerId": ({**SEND, "peerId": None, "text": ""}, "ValueError", "peerId must be a number"),
    "send to a name": ({**SEND, "peerId": "1", "text": ""}, "ValueError", 'peerId must be a number, not "1"'),
    "send to a fraction": ({**SEND, "peerId": 1.5, "text": ""}, "ValueError", "peerId must be a number"),
    "send to true": ({**SEND, "peerId": True, "text": ""}, "ValueError", "peerId must be a number, not true"),
    "send to nobody": ({**SEND, "text": ""}, "UnknownPeer", "peer_id 1 is not a peer"),
    "send to a big number": ({**SEND, "peerId": 10**4000, "text": ""}, "UnknownPeer", "is not a peer"),
    "send of nothing": (SEND, "ValueError", 'one of "message" and "text"'),
    "send of both": ({**SEND, "text": "", "message": ""}, "ValueError", 'one of "message" and "text"'),
    "send of a number": ({**SEND, "text": 5}, "ValueError", "text must be text, not 5"),
    "send of bad base64": ({**SEND, "message": "a"}, "ValueError", "message must be base64"),
    "send of other base64": ({**SEND, "message": "_-_-"}, "ValueError", "message must be base64"),
    "send of non-ASCII": ({**SEND, "message": "\u00fc"}, "ValueError", "message must be base64"),
    "send of a lone surrogate": (
        rb'{"command":"send","topic":"chat","peerId":1,"text":"\udfff"}',
        "ValueError",
        "text must not contain lone surrogates",
    ),
    "broadcast of nothing": ({"command": "broadcast", "topic": "chat"}, "ValueError", '"message" and "text"'),
    "connect without address": ({"command": "connect"}, "ValueError", "address must be text"),
    "connect to no address": (
        {"command": "connect", "address": "x"},
        "ValueError",
        "address must be HOST:PORT",
    ),
    "connect to port 0": ({"command": "connect", "address": "h:0"}, "ValueError", "port must be from 1"),
    "connect on an unknown wire": (
        {"command": "connect", "address": "127.0.0.1:1", "wire": "hypercore8"},
        "ValueError",
        "wire must be one of",
    ),
    "connect on a list": (
        {"command": "connect", "address": "127.0.0.1:1", "wire": []},
        "ValueError",
        "wire must be one of",
    ),
}


@pytest.fixture(scope="module")
def errors() -> list[Event]:
    """The answers of one run to all wrong lines."""
    lines = [line for line, _, _ in WRONG.values()]
    events = run_pipe(*lines, {"command": "peers"}, options=("--topic", "chat"))
    assert events.pop() == {"event": "peers", "peers": []}
    assert len(events) == len(WRONG)
    return events


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_line_is_reported_and_the_process_continues(name: str, errors: list[Event]) -> None:
    line, kind, text = WRONG[name]
    event = errors[list(WRONG).index(name)]
    assert list(event) == ["event", "error", "message", "command"]
    assert (event["event"], event["error"]) == ("error", kind)
    assert text in event["message"]
    assert event["command"] == _offender(line)


def _offender(line: Event | bytes) -> Event | str:
    """Return the object in the line, or the line itself if it has none."""
    if isinstance(line, dict):
        return line
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else line.decode(errors="replace")


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_values_that_are_not_numbers(number: bytes) -> None:
    (event,) = run_pipe(b'{"command":"dance","with":' + number + b"}")
    assert event["event"] == "error"


def test_every_depth_of_nesting() -> None:
    """This includes a depth that can be read but not written again."""
    depths = range(400, 1100)
    lines = [b'{"command":"join","topic":' + b"[" * depth + b"]" * depth + b"}" for depth in depths]
    events = run_pipe(*lines)
    assert [event["event"] for event in events] == ["error"] * len(depths)


def test_a_line_beyond_the_bound() -> None:
    """It is reported without being stored, and the next line counts again."""
    events = run_pipe(b"x" * (40 * MIB), {"command": "peers"})
    assert [event["event"] for event in events] == ["error", "peers"]
    assert "line of more than" in events[0]["message"]
    assert "command" not in events[0]


def test_a_huge_line_within_the_bound() -> None:
    (event,) = run_pipe({"command": "dance", "to": "x" * (16 * MIB)})
    assert event["error"] == "ValueError"


async def test_connecting_fails() -> None:
    """The failure is reported with its command, and the process continues."""
    async with pipe() as alone:
        command = {"command": "connect", "address": "127.0.0.1:1", "wire": WIRE}
        await alone.say(command)
        event = await alone.hear()
        assert (event["event"], event["error"], event["command"]) == ("error", "OSError", command)
        assert "127.0.0.1:1" in event["message"] or "127.0.0.1" in event["message"]
        await alone.say({"command": "peers"})
        assert await alone.hear() == {"event": "peers", "peers": []}
        assert await alone.finish() == [{"event": "closed"}]


async def test_connecting_to_an_invalid_name() -> None:
    async with pipe() as alone:
        await alone.say({"command": "connect", "address": "a..b:80"})
        event = await alone.hear()
        assert event["event"] == "error"
        assert await alone.finish() == [{"event": "closed"}]


async def test_connecting_to_itself() -> None:
    async with pipe("--listen", ANY_PORT) as alone:
        await alone.say({"command": "connect", "address": alone.address, "wire": WIRE})
        event = await alone.hear()
        assert event["error"] == "RemoteProtocolError"
        assert "ourselves" in event["message"]
        await alone.finish()


# Together


async def test_two_pipes() -> None:
    async with two_pipes("--topic", "chat") as (alice, bob):
        for one, other in ((alice, bob), (bob, alice)):
            await one.say({"command": "peers"})
            peer = {"peerId": 1, "publicKey": other.ready["publicKeys"][WIRE], "wire": WIRE}
            assert await one.hear() == {"event": "peers", "peers": [peer]}
        await alice.say(
            {"command": "send", "topic": "chat", "peerId": 1, "text": "gr\u00fc\u00df dich"},
            {"command": "send", "topic": "chat", "peerId": 1, "message": b64(b"\xff\0")},
            {"command": "broadcast", "topic": "chat", "text": ""},
            {"command": "broadcast", "topic": "chat", "message": b64(b"all")},
        )
        for message in ("gr\u00fc\u00df dich".encode(), b"\xff\0", b"", b"all"):
            assert await bob.hear() == said(alice, "chat", message)
        await bob.say({"command": "send", "topic": "chat", "peerId": 1, "text": "hello"})
        assert await alice.hear() == said(bob, "chat", b"hello")
        assert await bob.finish() == [{"event": "closed"}]
        assert await alice.hear() == left(bob)
        await alice.say({"command": "send", "topic": "chat", "peerId": 1, "text": "too late"})
        assert (await alice.hear())["error"] == "PeerGone"
        assert await alice.finish() == [{"event": "closed"}]


async def test_joining_and_closing_topics() -> None:
    async with two_pipes() as (alice, bob):
        await alice.say(
            {"command": "join", "topic": "one"}, {"command": "join", "topic": ""}, {"command": "peers"}
        )
        await alice.hear_until("peers")
        await bob.say({"command": "join", "topic": "one"}, {"command": "join", "topic": ""})
        await bob.say({"command": "broadcast", "topic": "one", "text": "1"})
        await bob.say({"command": "broadcast", "topic": "", "text": "2"})
        heard = [await alice.hear() for _ in range(2)]
        wanted = [said(bob, "one", b"1"), said(bob, "", b"2")]
        assert sorted(heard, key=lambda event: str(event["text"])) == wanted
        await alice.say({"command": "close", "topic": "one"}, {"command": "peers"})
        await alice.hear_until("peers")
        await bob.say({"command": "broadcast", "topic": "one", "text": "unheard"})
        await bob.say({"command": "broadcast", "topic": "", "text": "3"})
        assert await alice.hear() == said(bob, "", b"3")
        await alice.say({"command": "join", "topic": "one"}, {"command": "peers"})
        await alice.hear_until("peers")
        await bob.say({"command": "broadcast", "topic": "one", "text": "again"})
        assert await alice.hear() == said(bob, "one", b"again")


async def test_connecting_by_command() -> None:
    async with pipe("--listen", ANY_PORT) as alice, pipe() as bob:
        await bob.say({"command": "connect", "address": alice.address, "wire": WIRE})
        for one in (alice, bob):
            assert (await one.hear())["event"] == "join"


async def test_stats() -> None:
    async with two_pipes("--topic", "chat") as (alice, bob):
        await bob.say({"command": "broadcast", "topic": "chat", "text": "hello"}, {"command": "stats"})
        sent = await bob.hear()
        assert sent["event"] == "stats"
        assert sent["messagesSent"] == 1
        assert await alice.hear() == said(bob, "chat", b"hello")
        await alice.say({"command": "stats"})
        stats = await alice.hear()
        assert stats.pop("bytesReceived") > 100
        assert stats.pop("bytesSent") > 100
        assert stats == {
            "event": "stats",
            "connections": 1,
            "handshaking": 0,
            "drives": 1,
            "members": 1,
            "peerIds": 1,
            "messagesReceived": 1,
            "messagesSent": 0,
            "messagesDropped": 0,
            "unsentBytes": 0,
            "waitingMessages": 0,
            "waitingBytes": 0,
        }


async def test_the_largest_message() -> None:
    largest = 8 * MIB - 1
    async with two_pipes("--topic", "chat") as (alice, bob):
        await alice.say({**SEND, "message": b64(b"\xff" * (largest + 1))})
        error = await alice.hear()
        assert error["error"] == "MessageTooLarge"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alice.say, {**SEND, "message": b64(b"\xff" * largest)})
            assert await bob.hear() == said(alice, "chat", b"\xff" * largest)


async def test_messages_come_after_the_join_and_before_the_leave() -> None:
    """This holds however quickly a peer comes and goes."""
    count = 500
    async with pipe("--listen", ANY_PORT, "--topic", "a", "--topic", "b") as alice:
        for visit in range(3):
            seed = bytes([visit]) * 32
            async with (
                open_node(key_pair=KeyPair(seed)) as node,
                node.open_drive(KEY) as drive,
                drive.watch() as events,
                drive.join("a") as first,
                drive.join("b") as second,
            ):
                host, _, port = alice.address.rpartition(":")
                await node.connect_tcp(host, int(port), wire="hypercore9")
                peer_id = (await events.receive()).peer_id
                for number in range(count):
                    await (second if number % 2 else first).send(peer_id, str(number).encode())
            events_heard = [await alice.hear() for _ in range(count + 2)]
            kinds = [event["event"] for event in events_heard]
            assert kinds == ["join", *["message"] * count, "leave"]
            assert {event["peerId"] for event in events_heard} == {visit + 1}
            for topic, start in (("a", 0), ("b", 1)):
                numbers = [int(event["text"]) for event in events_heard if event.get("topic") == topic]
                assert numbers == list(range(start, count, 2))


async def test_the_end_of_input_sends_accepted_messages() -> None:
    """Five megabytes arrive at a slow peer."""
    message = os.urandom(MIB)
    limits = Limits(receive_messages=1)
    async with (
        pipe("--topic", "chat", "--listen", ANY_PORT) as alice,
        open_node(limits=limits) as node,
        node.open_drive(KEY) as drive,
        drive.join("chat") as inbox,
        drive.watch() as events,
    ):
        host, _, port = alice.address.rpartition(":")
        await node.connect_tcp(host, int(port), wire="hypercore9")
        await events.receive()
        assert (await alice.hear())["event"] == "join"
        received: list[bytes] = []

        async def receive() -> None:
            while len(received) < 5:
                received.append((await inbox.receive()).message)
                await trio.testing.wait_all_tasks_blocked(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await alice.say(*[{"command": "broadcast", "topic": "chat", "message": b64(message)}] * 5)
            assert await alice.finish() == [{"event": "closed"}]
        assert received == [message] * 5
        assert (await events.receive()).peer_id == 1


async def test_network_scope() -> None:
    async with two_pipes("--topic", "chat", "--topic-scope", "network") as (alice, bob):
        await alice.say({"command": "broadcast", "topic": "chat", "text": "hello"})
        assert await bob.hear() == said(alice, "chat", b"hello")


# Peers that do not keep up


@asynccontextmanager
async def with_a_frozen_member() -> AsyncIterator[tuple[Pipe, Pipe, Pipe]]:
    """Run a pipe, a member of its drive, and another member that has been stopped."""
    options = ("--topic", "chat")
    async with (
        pipe("--listen", ANY_PORT, *options) as alice,
        pipe("--connect", alice.address, *options) as bob,
        pipe("--connect", alice.address, *options) as frozen,
    ):
        for one in (alice, alice, bob, frozen):
            await one.hear_until("join")
        frozen.process.send_signal(signal.SIGSTOP)
        yield alice, bob, frozen


@pytest.mark.slow
async def test_a_stopped_member_holds_up_no_other() -> None:
    """Twenty megabytes exceed its outbox: the member does not get them, and other members get everything."""
    messages = [bytes([number]) * MIB for number in range(24)]
    async with with_a_frozen_member() as (alice, bob, frozen), trio.open_nursery() as nursery:
        nursery.start_soon(_broadcast, alice, messages)
        for message in messages:
            assert (await bob.hear_until("message"))["message"] == b64(message)
        error = await alice.hear()
        (frozen_id,) = (
            peer["peerId"]
            for peer in (await alice.hear_until("peers"))["peers"]
            if peer["publicKey"] == frozen.ready["publicKeys"]["hypercore11"]
        )
        assert (error["error"], error["peerId"]) == ("PeerBehind", frozen_id)
        assert error["message"].startswith(f"peer {frozen_id} does not keep up: ")
        assert error["bytes"] == error["messages"] * MIB
        await alice.say({"command": "send", "topic": "chat", "peerId": frozen_id, "text": "hello"})
        refused = await alice.hear()
        assert (refused["error"], refused["command"]["text"]) == ("PeerBehind", "hello")
        await alice.say({"command": "disconnect", "peerId": frozen_id})
        leave = await alice.hear_until("leave")
        assert (leave["peerId"], leave["reason"]) == (frozen_id, "disconnected here")
        assert leave["unsent"] > MIB
        assert await alice.finish_with_errors() == 0
        frozen.process.send_signal(signal.SIGCONT)


async def _broadcast(alice: Pipe, messages: list[bytes]) -> None:
    for message in messages:
        await alice.say({"command": "broadcast", "topic": "chat", "message": b64(message)})
    await alice.say({"command": "peers"})


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGINT])
async def test_a_stopped_member_does_not_delay_the_end(number: signal.Signals | None) -> None:
    """Messages that it does not take are counted, and the status is 1. Other members get everything."""
    message = bytes(MIB)
    async with with_a_frozen_member() as (alice, bob, frozen):
        await _broadcast(alice, [message] * 10)
        await alice.hear_until("peers")
        if number is None:
            await alice.end_input()
        else:
            alice.process.send_signal(number)
        error = await alice.hear()
        assert error["error"] == "PeerBehind"
        assert "did not take everything in time" in error["message"]
        assert error["messages"] > 1
        assert error["messages"] * MIB < error["bytes"] <= 10 * MIB + 1000
        assert await alice.hear() == {"event": "closed"}
        assert await alice.process.wait() == 1
        for _ in range(10):
            assert (await bob.hear_until("message"))["message"] == b64(message)
        frozen.process.send_signal(signal.SIGCONT)


async def test_disconnecting() -> None:
    async with two_pipes() as (alice, bob):
        await alice.say({"command": "disconnect", "peerId": 1})
        assert await alice.hear() == left(bob, reason="disconnected here")
        assert (await bob.hear())["event"] == "leave"
        await alice.say({"command": "disconnect", "peerId": 1})  # a second time changes nothing
        await alice.say({"command": "disconnect", "peerId": 7}, {"command": "disconnect"})
        assert (await alice.hear_until("error"))["error"] == "UnknownPeer"
        assert (await alice.hear_until("error"))["message"] == "peerId must be a number, not null"


async def test_commands_need_not_wait_for_a_connection() -> None:
    """The end of the input does not wait either, though the host at --connect never answers."""
    with silent_port() as port:
        async with pipe("--connect", f"127.0.0.1:{port}") as alone:
            await alone.say({"command": "peers"}, {"command": "connect", "address": f"127.0.0.1:{port}"})
            assert await alone.hear() == {"event": "peers", "peers": []}
            assert await alone.finish() == [{"event": "closed"}]


@pytest.mark.slow
async def test_a_host_that_does_not_answer_is_reported() -> None:
    with silent_port() as port:
        async with pipe() as alone:
            command = {"command": "connect", "address": f"127.0.0.1:{port}"}
            await alone.say(command)
            error = await alone.hear()
            assert (error["error"], error["command"]) == ("TimeoutError", command)
            assert error["message"] == f"127.0.0.1:{port} did not answer within 10 seconds"
            await alone.finish()


# Ends


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 129)]
)
async def test_a_signal(number: signal.Signals, status: int) -> None:
    async with two_pipes("--topic", "chat") as (alice, bob):
        alice.process.send_signal(number)
        assert await alice.hear() == {"event": "closed"}
        assert await alice.process.wait() == status
        assert await alice.errors() == ""
        assert await bob.hear() == left(alice)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_loses_no_accepted_message(number: signal.Signals) -> None:
    """The peer is busy when the signal comes, and takes everything later."""
    message = os.urandom(MIB)
    async with two_pipes("--topic", "chat") as (alice, bob):
        bob.process.send_signal(signal.SIGSTOP)
        await alice.say(*[{"command": "broadcast", "topic": "chat", "message": b64(message)}] * 8)
        await alice.say({"command": "peers"})
        await alice.hear_until("peers")
        alice.process.send_signal(number)
        bob.process.send_signal(signal.SIGCONT)
        for _ in range(8):
            assert (await bob.hear())["message"] == b64(message)
        assert await bob.hear() == left(alice)
        assert await alice.hear() == {"event": "closed"}
        assert await alice.process.wait() == (130 if number == signal.SIGINT else 0)


async def test_a_second_interrupt_ends_at_once() -> None:
    limits = Limits(receive_messages=1)
    async with (
        pipe("--topic", "chat", "--listen", ANY_PORT) as alice,
        open_node(limits=limits) as node,
        node.open_drive(KEY) as drive,
        drive.join("chat") as topic,
    ):
        host, _, port = alice.address.rpartition(":")
        await node.connect_tcp(host, int(port), wire="hypercore9")
        assert (await alice.hear())["event"] == "join"
        command = {"command": "broadcast", "topic": "chat", "message": b64(bytes(MIB))}
        await alice.say(*[command] * 10, {"command": "peers"})
        await alice.hear_until("peers")
        alice.process.send_signal(signal.SIGINT)
        await _until_deaf(alice, topic)
        assert alice.process.returncode is None
        alice.process.send_signal(signal.SIGINT)
        # A clean end would wait for the peer, report its loss, and write "closed".
        assert await alice.rest() == []
        assert await alice.process.wait() == 130
        errors = await alice.errors()
        assert "Traceback" not in errors
        assert len(errors.splitlines()) <= 1  # the amount that was not sent


async def _until_deaf(alice: Pipe, topic: Topic) -> None:
    """Wait until a signal has reached `pipe`: it still writes messages that arrive, but executes no
    command.
    """
    ignored = 0
    while ignored < 3:
        await alice.say({"command": "peers"})
        await topic.broadcast(b"still there?")
        events = []
        while "message" not in events:
            events.append((await alice.hear())["event"])
        ignored = 0 if "peers" in events else ignored + 1


@pytest.mark.parametrize("command", ["--help", "demo", f"pipe {KEY.url}"])
def test_a_reader_that_closes_the_output(command: str) -> None:
    """With `| head -1` there is no traceback, even if there is more to write."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            (*COMMAND, *command.split()), stdin=subprocess.DEVNULL, stdout=closed, stderr=subprocess.PIPE,
            timeout=TIME, check=False,
        )  # fmt: skip
    assert done.stderr == b""
    assert done.returncode == 1


async def test_a_reader_that_closes_the_output_later() -> None:
    async with pipe("--topic", "chat") as alone:
        assert alone.process.stdout is not None
        await alone.process.stdout.aclose()
        await alone.say({"command": "peers"})
        assert await alone.process.wait() == 1
        assert await alone.errors() == ""


async def test_a_slow_reader_holds_up_only_the_messages() -> None:
    """While stdout is not read, commands are still executed. In the end everything is there, in order."""
    count = 300
    message = b"x" * 20_000
    async with (
        pipe("--topic", "chat", "--listen", ANY_PORT) as alice,
        open_node() as node,
        node.open_drive(KEY) as drive,
        drive.join("chat") as chat,
        drive.watch() as events,
    ):
        host, _, port = alice.address.rpartition(":")
        await node.connect_tcp(host, int(port), wire="hypercore9")
        peer_id = (await events.receive()).peer_id
        for _ in range(count):
            await chat.send(peer_id, message)
        await alice.say({"command": "broadcast", "topic": "chat", "text": "obeyed"})
        assert (await chat.receive()).message == b"obeyed"
        assert (await alice.hear())["event"] == "join"
        for _ in range(count):
            assert await alice.hear() == said(node, "chat", message)


async def test_an_address_that_answers_later() -> None:
    """The failure is reported once, and dialling continues beside the commands until a peer answers."""
    port = unused_port()
    async with pipe("--connect", f"127.0.0.1:{port}", "--wire", WIRE) as ours:
        error = await ours.hear()
        assert (error["event"], error["error"]) == ("error", "OSError")
        assert error["message"].startswith(f"127.0.0.1:{port}: ")
        assert error["message"].endswith("refused; trying again")
        await ours.say({"command": "peers"})
        assert await ours.hear() == {"event": "peers", "peers": []}
        for _ in range(2):
            async with open_node(key_pair=KeyPair(bytes(32))) as node, node.open_drive(KEY):
                await node.listen_tcp(port, host="127.0.0.1")
                joined = await ours.hear()
                assert (joined["event"], joined["peerId"], joined["publicKey"]) == ("join", 1, key_of(node))
            assert await ours.hear() == left(node)
        assert [event["event"] for event in await ours.finish()] in (["closed"], ["error", "closed"])


async def test_an_address_without_a_peer() -> None:
    def hang_up(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.recv(1)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=[server])
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        async with pipe("--connect", address, "--wire", WIRE) as ours:
            error = await ours.hear()
            assert error["event"] == "error"
            assert error["message"].startswith(f"{address}: ")
        thread.join()
