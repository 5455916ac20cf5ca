"""`serve`: the address, the pages of a folder, and a page that talks to real peers."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from adapter.browser.support import Site, ask, open_page
from cli.real_drive import open_real_drive
from cli.support import COMMAND, TIME
from peersockets_core import WIRES, WireName


@asynccontextmanager
async def serve(*options: str) -> AsyncIterator[tuple[trio.Process, Site]]:
    """A running `serve`; killed in the end if it still runs."""
    command = (*COMMAND, "serve", "--port", "0", *options)
    with trio.fail_after(TIME):
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            line = b""
            while not line.endswith(b"\n"):
                data = await process.stdout.receive_some()
                assert data, "serve has ended"
                line += data
            yield process, Site(line.decode().removesuffix("\n"))
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                if process.stdout is not None:
                    await trio.aclose_forcefully(process.stdout)


@pytest.mark.interop
@pytest.mark.parametrize("wire", WIRES)
async def test_a_page_talks_to_a_real_peer(wire: WireName, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>mine</title>")
    async with open_real_drive(wire) as real, serve(*real.options, "--folder", str(tmp_path)) as (_, site):
        answer = await ask(site, "/")
        script = '<script src="/.peersockets/peersockets.js"></script>'
        assert answer.body.decode() == f"<!doctype html>{script}<title>mine</title>"
        async with open_page(site) as page:
            await page.say("join", 1, "chat")
            await page.say("watch", 2)
            assert await page.until("peer") == ["peer", 1, real.peer.public_key.hex(), wire]
            assert await page.hear() == [2, "join", 1]
            await page.send(1, 1, "hällo".encode())
            assert await real.topic.receive() == (real.our_key, "hällo".encode())
            await real.topic.send(real.our_key, b"\xff\x00")
            assert await page.message() == (1, 1, b"\xff\x00")
            await real.peer.process.kill()
            assert (await page.until(2, "leave"))[2] == 1
