"""`pipe` and `watch` with real Node peers of both generations. The tests of `chat` and `send` have
their own.
"""

from __future__ import annotations

import base64
import subprocess

import pytest
import trio

from cli.real_drive import open_real_drive
from cli.support import COMMAND, TIME, parse, pipe
from peersockets_core import WIRES, WireName

pytestmark = [pytest.mark.interop, pytest.mark.parametrize("wire", WIRES)]


async def test_pipe_talks_to_a_real_peer(wire: WireName) -> None:
    async with open_real_drive(wire) as real:
        drive, *options = real.options
        key = real.peer.public_key.hex()
        async with pipe(*options, "--topic", "chat", key=drive) as ours:
            assert ours.ready["publicKeys"][wire] == real.our_key.hex()
            assert await ours.hear() == {"event": "join", "peerId": 1, "publicKey": key, "wire": wire}
            await ours.say({"command": "send", "topic": "chat", "peerId": 1, "text": "hällo"})
            assert await real.topic.receive() == (real.our_key, "hällo".encode())
            await real.topic.send(real.our_key, b"\xff\x00")
            message = base64.b64encode(b"\xff\x00").decode()
            assert await ours.hear() == {
                "event": "message",
                "topic": "chat",
                "peerId": 1,
                "publicKey": key,
                "message": message,
            }
            await ours.say({"command": "broadcast", "topic": "chat", "message": message})
            assert await real.topic.receive() == (real.our_key, b"\xff\x00")
            await ours.say({"command": "peers"})
            peers = [{"peerId": 1, "publicKey": key, "wire": wire}]
            assert await ours.hear() == {"event": "peers", "peers": peers}
            await real.peer.process.kill()
            left = await ours.hear()
            assert left.items() >= {"event": "leave", "peerId": 1, "publicKey": key, "wire": wire}.items()


async def test_watch_sees_a_real_peer_join_and_leave(wire: WireName) -> None:
    async with open_real_drive(wire) as real:
        with trio.fail_after(TIME):
            command = (*COMMAND, "watch", *real.options, "--json")
            process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
            try:
                assert process.stdout is not None
                key = real.peer.public_key.hex()
                joined = {"event": "join", "peerId": 1, "publicKey": key, "wire": wire}
                assert parse(bytes(await process.stdout.receive_some())) == joined
                await real.peer.process.kill()
                left = parse(bytes(await process.stdout.receive_some()))
                assert left.items() >= {"event": "leave", "peerId": 1, "publicKey": key, "wire": wire}.items()
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
                    if process.stdout is not None:
                        await trio.aclose_forcefully(process.stdout)


async def test_pipe_and_a_real_peer_send_each_other_requests(wire: WireName) -> None:
    async with open_real_drive(wire) as real:
        drive, *options = real.options
        named = {"drive": real.key.public_key.hex(), "webapp": real.key.discovery_key.hex()}
        handle = (await real.peer.call("joinRequests", topic="ask", **named))["handle"]
        origin = {"id": "a", "topic": "ask", "peerId": 1}
        ask = {"command": "request", **origin, "timeout": TIME}
        answers: list[object] = []

        async def asked() -> None:
            data = base64.b64encode(b"question").decode()
            key = real.our_key.hex()
            answers.append(await real.peer.call("request", handle=handle, publicKey=key, data=data))

        async with pipe(*options, key=drive) as ours, trio.open_nursery() as nursery:
            await ours.hear_until("join")
            await ours.say({"command": "serve", "topic": "ask"}, {**ask, "text": "hello"})
            reply = {"event": "reply", **origin, "message": base64.b64encode(b"olleh").decode()}
            assert await ours.hear() == {**reply, "text": "olleh"}
            await ours.say({**ask, "text": "refuse not for you"})
            refused = {"event": "error", "error": "RequestError", "message": "not for you", **origin}
            assert await ours.hear() == refused
            nursery.start_soon(asked)
            request = await ours.hear()
            assert (request["event"], request["text"], request["peerId"]) == ("request", "question", 1)
            await ours.say({"command": "reply", "id": request["id"], "text": "answer"})
            # The end of the input sends the answer first.
            assert await ours.finish() == [{"event": "closed"}]
        assert answers == [{"reply": base64.b64encode(b"answer").decode()}]
