"""`serve`: the address, the pages of a folder, and a page that talks to real peers."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import pytest
import trio

from adapter.browser.support import LOOPBACK, Site, ask, open_page, opening
from cli.real_drive import open_real_drive
from cli.support import COMMAND, KEY, TIME, complaint, run
from peersockets_core import WIRES, DriveKey, WireName
from peersockets_trio.cli.serve import port_of


@attrs.define
class Serving:
    """A running `serve`."""

    process: trio.Process
    site: Site
    output: bytes

    async def end(self, number: signal.Signals) -> int:
        """End it with status 0. Return the exit status."""
        self.process.send_signal(number)
        return await self.process.wait()

    async def rest(self) -> bytes:
        """Return the output after the first line, once the process has ended."""
        assert self.process.stdout is not None
        return self.output + b"".join([bytes(data) async for data in self.process.stdout])

    async def errors(self) -> str:
        assert self.process.stderr is not None
        return b"".join([bytes(data) async for data in self.process.stderr]).decode()


@asynccontextmanager
async def serve(
    *options: str,
    port: int = 0,
    environment: dict[str, str] | None = None,
    command: tuple[str, ...] = COMMAND,
) -> AsyncIterator[Serving]:
    """Run a `serve`. It is killed at the end if it still runs."""
    with trio.fail_after(TIME):
        process = await trio.lowlevel.open_process(
            (*command, "serve", "--port", str(port), *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environment is None else {**os.environ, **environment},
        )
        try:
            assert process.stdout is not None
            line = b""
            while b"\n" not in line:
                data = await process.stdout.receive_some()
                assert data, "serve has ended"
                line += data
            address, _, rest = line.partition(b"\n")
            yield Serving(process, Site(address.decode()), rest)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                for pipe in (process.stdout, process.stderr):
                    if pipe is not None:
                        await trio.aclose_forcefully(pipe)


ALONE: Final = (KEY.url, "--listen", "127.0.0.1:0")


async def test_the_first_line_is_only_the_address() -> None:
    async with serve(*ALONE) as serving:
        site = serving.site
        host = f"{KEY.discovery_key[:16].hex()}.localhost:{site.port}"
        assert re.fullmatch(rf"http://{host}/\.peersockets/enter/[0-9a-f]{{64}}", site.url)
        assert await serving.end(signal.SIGTERM) == 0
        assert await serving.rest() == b""
        errors = await serving.errors()
        assert "listening on 127.0.0.1:" in errors
        assert f"serving http://{host}" in errors
        assert site.token not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_whatever_its_tabs_do(number: signal.Signals) -> None:
    """One tab answers, and a debugger has stopped the other."""
    async with (
        serve(*ALONE) as serving,
        open_page(serving.site) as page,
        await trio.open_tcp_stream(LOOPBACK, serving.site.port) as stopped,
    ):
        await stopped.send_all(opening(serving.site))
        assert await stopped.receive_some(12) == b"HTTP/1.1 101"
        status = await serving.end(number)
        await page.until_closed()
        assert page.socket.close_code in (1001, 1006)  # the latter on a machine that does not send in time
        assert status == (130 if number == signal.SIGINT else 0)


async def test_the_address_is_derived_from_the_key_file(tmp_path: Path) -> None:
    """A page that was open before a restart needs no new cookie."""
    key_file = tmp_path / "key"
    key_file.touch(0o600)
    key_file.write_text("42" * 32)
    async with serve(*ALONE, "--key-file", str(key_file)) as first:
        before = first.site
        async with open_page(before):
            pass
        assert await first.end(signal.SIGTERM) == 0
    async with serve(*ALONE, "--key-file", str(key_file), port=before.port) as second:
        assert second.site.url == before.url
        async with open_page(before) as page:
            assert page.greeting[0] == "ready"
    async with serve(*ALONE) as other:
        assert other.site.token != before.token


async def test_without_a_folder_it_serves_the_chat() -> None:
    async with serve(*ALONE) as serving:
        answer = await ask(serving.site, "/")
        assert answer.status == 200
        assert b"peersockets.js" in answer.body
        names = re.findall(r'(?:src|href)="(?!/\.peersockets|#|data:|http)/?([^"]+)"', answer.body.decode())
        assert names
        for name in names:
            assert (await ask(serving.site, f"/{name}")).status == 200, name


async def test_the_log_does_not_show_the_token() -> None:
    async with serve(*ALONE, command=(*COMMAND, "-vv")) as serving:
        site = serving.site
        assert (await ask(site, f"/.peersockets/enter/{site.token}")).status == 303
        async with open_page(site):
            pass
        assert await serving.end(signal.SIGTERM) == 0
        log = await serving.errors()
        assert "listening" in log
        assert site.token not in log


async def test_it_opens_a_browser_without_showing_the_token(tmp_path: Path) -> None:
    """The browser gets a private file that leads to the address, since every user can see arguments."""
    seen = trio.Path(tmp_path / "seen")
    os.mkfifo(seen)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho noise\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    async with serve(*ALONE, "--open", environment={"BROWSER": f"{browser} %s"}) as serving:
        address = urlsplit((await seen.read_text()).strip())
        assert address.scheme == "file"
        assert serving.site.token not in address.path
        file = trio.Path(address.path)
        assert f'content="0;url={serving.site.url}"' in await file.read_text()
        assert stat.S_IMODE((await file.parent.stat()).st_mode) == 0o700
        assert await serving.end(signal.SIGTERM) == 0
        assert await serving.rest() == b""
        assert not await file.exists()


@pytest.mark.parametrize(
    ("options", "complaint_"),
    [
        (("--topic-scope", "network"), "serve has no --topic-scope: pages use the topics of Beaker"),
        (("--topic-scope", "drive"), "serve has no --topic-scope: pages use the topics of Beaker"),
        (("--topic", "chat"), "serve has no --topic: pages join topics by themselves"),
        (("--folder", "/no/such/folder"), "--folder"),
        (("--port", "65536"), "--port"),
    ],
)
def test_options_that_are_refused(options: tuple[str, ...], complaint_: str) -> None:
    done = run("serve", *ALONE, *options)
    assert complaint_ in complaint(done, 2)
    assert done.stdout == b""


def test_a_port_that_is_taken_on_one_address_only() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        done = run("serve", *ALONE, "--port", str(port))
    text = complaint(done, 1)
    assert f"cannot listen on port {port} of both 127.0.0.1 and ::1: Address already in use" in text


def test_the_port_is_derived_from_the_drive() -> None:
    with socket.create_server((LOOPBACK, port_of(KEY))):
        done = run("serve", *ALONE)
    assert f"cannot listen on port {port_of(KEY)} of both" in complaint(done, 1)
    assert 20_000 <= port_of(KEY) < 32_768
    assert port_of(KEY) != port_of(DriveKey(bytes(32)))


@pytest.mark.parametrize("what", ["nothing", "an older one without Trio"])
def test_the_error_names_the_extra_to_install(what: str, tmp_path: Path) -> None:
    module = tmp_path / "websockets"
    module.mkdir()
    (module / "__init__.py").write_text(
        "" if what != "nothing" else "raise ModuleNotFoundError(name='websockets')"
    )
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import peersockets_command as c; c.main()"
    done = run("serve", *ALONE, command=(sys.executable, "-c", script))
    assert complaint(done, 1) == "peersockets: serve needs websockets: pip install 'peersockets[serve]'\n"


@pytest.mark.interop
@pytest.mark.parametrize("wire", WIRES)
async def test_a_page_talks_to_a_real_peer(wire: WireName, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>mine</title>")
    async with open_real_drive(wire) as real, serve(*real.options, "--folder", str(tmp_path)) as serving:
        site = serving.site
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
