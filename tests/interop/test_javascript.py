"""The JavaScript module of `javascript/`: its own tests, its package, and applications that use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from docs.application import Application, open_application
from docs.markdown import BLOCKS, MODULE
from interop.real_peer import HOST
from peersockets_trio import Drive, PeerJoined, Request, RequestError, open_node
from ports import unused_port

pytestmark = pytest.mark.interop

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "javascript"
PACKAGE: Final = json.loads((FOLDER / "package.json").read_text())
TIME: Final = 300.0  # seconds after which a process counts as hanging


def test_its_own_tests_pass() -> None:
    finished = subprocess.run(
        ["node", "--test", "--test-reporter=tap"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=TIME,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    counts = dict(re.findall(r"^# (\w+) (\d+)$", finished.stdout, re.MULTILINE))
    tests = (FOLDER / "test" / "peersockets.test.js").read_text().count("\ntest(")
    assert int(counts["pass"]) >= tests > 0
    assert counts["skipped"] == counts["todo"] == "0"


def test_the_package_contains_only_the_module_and_its_declarations(tmp_path: Path) -> None:
    """It depends on nothing, and has the license of the whole project."""
    finished = subprocess.run(
        ["npm", "pack", "--dry-run", "--json", "--offline", f"--cache={tmp_path}"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=TIME,
        check=True,
    )
    packed = json.loads(finished.stdout)
    [found] = packed.values() if isinstance(packed, dict) else packed
    files = {file["path"] for file in found["files"]}
    assert files == {"LICENSE", "README.md", "index.d.ts", "index.js", "package.json", "requests.js"}
    assert not [name for name in PACKAGE if "ependencies" in name]
    assert (FOLDER / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    required = {
        name
        for file in ("index.js", "requests.js")
        for name in re.findall(r"require\('([^']+)'\)", (FOLDER / file).read_text())
    }
    assert required == {"./requests"}


def test_every_export_is_declared() -> None:
    script = "console.log(Object.keys(require('./index.js')).join(' '))"
    finished = subprocess.run(
        ["node", "-e", script], cwd=FOLDER, capture_output=True, text=True, timeout=TIME, check=True
    )
    declared = set(re.findall(r"export class (\w+)", (FOLDER / "index.d.ts").read_text()))
    assert set(finished.stdout.split()) == declared


def test_the_declarations_fit_an_application_in_strict_typescript() -> None:
    """Marked lines must not compile, and an unused mark is an error."""
    finished = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc"],
        cwd=Path(__file__).parent / "typescript",
        capture_output=True,
        text=True,
        timeout=TIME,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "")


LISTENING = """
const net = require('net')
const SecretStream = require('@hyperswarm/secret-stream')
const keyPair = SecretStream.keyPair()
net.createServer(socket => {
  const stream = new SecretStream(false, socket, { keyPair })
  stream.on('error', () => {})
  drive.corestore.replicate(stream)
}).listen(4200)
"""

PAGE = """
const peersockets = require('hyperdrive-peersockets')(drive)

const chat = peersockets.join('chat')
const events = peersockets.watch()
events.addEventListener('join', event => {
  console.log('join', event.peerId, event.publicKey.toString('hex'))
  chat.send(event.peerId, Buffer.from(`hello peer ${event.peerId}`))
})
events.addEventListener('leave', event => console.log('leave', event.peerId))
chat.addEventListener('message', event => {
  console.log('peer', event.peerId, 'says', Buffer.from(event.message).toString('hex'))
  chat.send(event.peerId, event.message)
})
"""


@asynccontextmanager
async def visit(application: Application) -> AsyncIterator[tuple[Drive, PeerJoined, str]]:
    """A node of ours that has met the application. Yield it with its public key in hex."""
    async with open_node() as node, node.open_drive(application.key) as drive, drive.watch() as events:
        await node.connect_tcp(HOST, application.port, wire="hypercore11")
        joined = await events.receive()
        assert isinstance(joined, PeerJoined)
        yield drive, joined, node.public_keys["hypercore11"].hex()


async def test_a_page_and_our_node_talk_both_ways(tmp_path: Path) -> None:
    async with open_application("hypercore11", PAGE + LISTENING, tmp_path) as page:
        for peer_id in (1, 2):
            async with visit(page) as (drive, joined, key), drive.join("chat") as chat:
                assert await page.line() == f"join {peer_id} {key}"
                for message in (b"hello page", b"", bytes(range(256)) * 1000):
                    await chat.send(joined.peer_id, message)
                    assert await page.line() == f"peer {peer_id} says {message.hex()}"
                    heard = (await chat.receive()).message
                    if heard == f"hello peer {peer_id}".encode():
                        heard = (await chat.receive()).message
                    assert heard == message
            assert await page.line() == f"leave {peer_id}"


def readme() -> str:
    """Return the blocks of the README as one application. Its request goes to the first peer that joins."""
    blocks = {block.marked("module"): block.code for block in BLOCKS if block.page == MODULE}
    assert set(blocks) == {"messages", "requests"}
    return f"""
{blocks["messages"]}
events.addEventListener('join', async ({{ peerId }}) => {{
  {blocks["requests"]}
  console.log('the reply is', reply.toString())
}}, {{ once: true }})
{LISTENING}
"""


async def test_the_readme_runs_with_our_node(tmp_path: Path) -> None:
    async def answer(request: Request) -> bytes:
        return request.data + b" yourself"

    async with open_application("hypercore11", readme(), tmp_path) as application:
        async with (
            open_node() as node,
            node.open_drive(application.key) as drive,
            drive.watch() as events,
            drive.join("chat") as chat,
            drive.join("files") as files,
            files.serve(answer),
        ):
            await node.connect_tcp(HOST, application.port, wire="hypercore11")
            peer_id = (await events.receive()).peer_id
            assert await application.line() == "the reply is greeting yourself"
            assert (await chat.receive()).message == b"hello"
            await chat.send(peer_id, b"hello README")
            assert await application.line() == "peer 1 says hello README"
            assert await files.request(peer_id, b"greeting", timeout=TIME) == b"hello"
            with pytest.raises(RequestError, match="no such file"):
                await files.request(peer_id, b"secret", timeout=TIME)
        assert await application.line() == "peer 1 has left"


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """Return an environment in which the example finds its packages."""
    (tmp_path / "hyperdrive-peersockets").symlink_to(FOLDER)
    return os.pathsep.join((str(tmp_path), str(Path(__file__).parent / "hypercore11" / "node_modules")))


async def test_the_example_asks_and_answers(tmp_path: Path, packages: str) -> None:
    asked: list[bytes] = []

    async def answer(request: Request) -> bytes:
        asked.append(request.data)
        return b"hello from Python"

    port = unused_port()
    process = await trio.lowlevel.open_process(
        ["node", str(ROOT / "examples" / "requests.js"), str(tmp_path / "storage"), str(port)],
        stdout=subprocess.PIPE,
        env={**os.environ, "NODE_PATH": packages},
    )
    example = Application("", port, process, bytearray())
    try:
        example.key = (await example.line()).removeprefix("drive ")
        async with (
            open_node() as node,
            node.open_drive(example.key) as drive,
            drive.join("files") as files,
            files.serve(answer),
            drive.watch() as events,
        ):
            await node.connect_tcp(HOST, port, wire="hypercore11")
            peer_id = (await events.receive()).peer_id
            assert await files.request(peer_id, b"greeting", timeout=TIME) == b"hello from JavaScript"
            with pytest.raises(RequestError, match="no such file"):
                await files.request(peer_id, b"secret", timeout=TIME)
            assert await example.line() == "peer 1 has hello from Python"
        assert asked == [b"greeting"]
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stdout is not None
            await trio.aclose_forcefully(process.stdout)
