"""`peersockets_trio.runtime.affinity`: calls from elsewhere raise, and change nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import KEY, LOOPBACK, OTHER_KEY, WIRE, all_tasks_blocked, limited, meet
from peersockets_trio import open_node

Calls = dict[str, Callable[[], object]]


def run(call: Callable[[], object]) -> object:
    """Call a function. Run an async one to its first checkpoint outside this package."""
    result = call()
    if isinstance(result, Coroutine):
        try:
            result.send(None)
        finally:
            result.close()
    return result


def outcome(call: Callable[[], object]) -> BaseException | None:
    try:
        run(call)
    except BaseException as error:
        return error
    return None


def in_a_thread(call: Callable[[], object]) -> BaseException | None:
    outcomes: list[BaseException | None] = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome(call)))
    thread.start()
    thread.join()
    return outcomes[0]


def after_a_fork(call: Callable[[], object]) -> BaseException | None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        error = outcome(call)
        os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as output:
        kind, _, text = output.read().partition(": ")
    os.waitpid(child, 0)
    return RuntimeError(text) if kind == "RuntimeError" else AssertionError(kind)


ELSEWHERE = {"another thread": in_a_thread, "before the fork": after_a_fork}


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_call_from_elsewhere_raises_and_changes_nothing(place: str) -> None:
    with limited():
        async with (
            meet() as (alice, bob),
            alice.drive.join("t") as topic,
            bob.drive.join("t") as theirs,
            alice.node.open_swarm(bootstrap=[], host=LOOPBACK) as swarm,
        ):
            discovery = swarm.join(alice.drive)
            kept = alice.node.keep_connected(("host.example", 1), wire=WIRE)
            [listener] = await alice.node.listen_tcp(0, host=LOOPBACK)
            await theirs.send(bob.peer_id, b"for alice")
            await all_tasks_blocked()
            watch = alice.drive.watch()
            stream, _ = trio.testing.memory_stream_pair()
            calls: Calls = {
                "send_nowait": lambda: topic.send_nowait(alice.peer_id, b"x"),
                "send": lambda: topic.send(alice.peer_id, b"x"),
                "broadcast": lambda: topic.broadcast(b"x"),
                "broadcast_nowait": lambda: topic.broadcast_nowait(b"x"),
                "receive": topic.receive,
                "receive_nowait": topic.receive_nowait,
                "receive_batch": topic.receive_batch,
                "request": lambda: topic.request(alice.peer_id, b"x", timeout=1),
                "serve": lambda: topic.serve(_never),
                "topic.close": topic.close,
                "join": lambda: alice.drive.join("other"),
                "watch": alice.drive.watch,
                "watch.receive_nowait": watch.receive_nowait,
                "watch.close": watch.close,
                "drive.close": alice.drive.close,
                "open_drive": lambda: alice.node.open_drive(OTHER_KEY),
                "listen_tcp": lambda: alice.node.listen_tcp(0, host=LOOPBACK),
                "listener.aclose": listener.aclose,
                "connect_tcp": lambda: alice.node.connect_tcp(LOOPBACK, 1, wire=WIRE),
                "keep_connected": lambda: alice.node.keep_connected((LOOPBACK, 1), wire=WIRE),
                "kept.close": kept.close,
                "attach": lambda: alice.node.attach(stream, wire=WIRE, initiator=True),
                "disconnect": lambda: alice.node.disconnect(alice.peer_id),
                "finish": alice.node.finish,
                "open_swarm": alice.node.open_swarm,
                "swarm.join": lambda: swarm.join(OTHER_KEY),
                "swarm.connect": lambda: swarm.connect(bob.node.public_keys["hypercore11"]),
                "discovery.flushed": discovery.flushed,
                "discovery.refresh": discovery.refresh,
                "discovery.close": discovery.close,
                "discovery.aclose": discovery.aclose,
            }
            before = alice.node.statistics()
            for name, call in calls.items():
                error = ELSEWHERE[place](call)
                assert isinstance(error, RuntimeError), (name, error)
                assert place in str(error), name
            assert alice.node.statistics() == before
            assert not topic.closed
            assert not discovery.closed
            # Everything is as it was.
            assert (await topic.receive()).message == b"for alice"
            await topic.send(alice.peer_id, b"for bob")
            assert (await theirs.receive()).message == b"for bob"
            kept.close()


async def _never(_: Any) -> bytes:
    raise AssertionError


def test_a_child_has_nodes_of_its_own() -> None:
    child = os.fork()
    if not child:
        try:
            trio.run(_open_and_join)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def _open_and_join() -> None:
    async with open_node() as node, node.open_drive(KEY) as drive, drive.join("t"):
        pass
