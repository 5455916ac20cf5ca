"""The gateway by raw socket, as an attacker or a browser reaches it."""

from __future__ import annotations

import logging
import os
import socket
import struct
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from websockets.exceptions import InvalidStatus

from adapter.browser.support import (
    LOOPBACK,
    Site,
    ask,
    exchange,
    hears,
    open_page,
    open_raw,
    open_served,
    opening,
    request_bytes,
    until_left,
)
from peersockets_trio.browser import GatewayLimits, users

SECURITY = {
    "content-security-policy": "frame-ancestors 'self'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "connection": "close",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<!doctype html><title>mine</title>")
    (tmp_path / "style.css").write_text("p {}")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text("<p>inner")
    (tmp_path / ".secret").write_text("secret")
    return tmp_path


async def status_of(site: Site, request: bytes) -> int:
    return int((await exchange(site, request)).split(b" ")[1])


# Answers


async def test_files_with_the_script_in_pages(folder: Path) -> None:
    async with open_served(folder) as served:
        answer = await ask(served.site, "/")
        script = b'<script src="/.peersockets/peersockets.js"></script>'
        assert answer.status == 200
        assert answer.body == b"<!doctype html>" + script + b"<title>mine</title>"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-length"] == str(len(answer.body))
        style = await ask(served.site, "/style.css?v=2")
        assert (style.status, style.body) == (200, b"p {}")
        assert (await ask(served.site, "/a/")).body == script + b"<p>inner"
        moved = await ask(served.site, "/a?b=c")
        assert (moved.status, moved.headers["location"]) == (308, "/a/?b=c")
        assert (await ask(served.site, "/no")).status == 404
        assert (await ask(served.site, "/.secret")).status == 404
        icon = await ask(served.site, "/favicon.ico")
        assert (icon.status, icon.body) == (204, b"")
        own = await ask(served.site, "/.peersockets/peersockets.js")
        assert own.status == 200
        assert own.headers["content-type"] == "text/javascript; charset=utf-8"
        assert b"peersockets.v1" in own.body


async def test_head_has_no_body(folder: Path) -> None:
    async with open_served(folder) as served:
        for target in ("/", "/no", "/a", f"/.peersockets/enter/{served.site.token}"):
            answer, head = await ask(served.site, target), await ask(served.site, target, "HEAD")
            assert head.status == answer.status
            assert head.body == b""
            assert head.headers.pop("date")
            assert answer.headers.pop("date")
            assert head.headers == answer.headers


async def test_every_answer_has_the_security_headers(folder: Path) -> None:
    async with open_served(folder) as served:
        site = served.site
        requests = [
            request_bytes("GET", "/", site.headers),
            request_bytes("GET", "/no", site.headers),
            request_bytes("GET", "/a", site.headers),
            request_bytes("POST", "/", site.headers),
            request_bytes("GET", "/", {"Host": site.host}),
            request_bytes("GET", "/", {"Host": "evil.example"}),
            request_bytes("GET", f"/.peersockets/enter/{site.token}", {"Host": site.host}),
            opening(site, Origin=None),
            opening(site, Sec_WebSocket_Protocol=None),
            opening(site, Sec_WebSocket_Key=None),
            opening(site, Upgrade=None),
        ]
        for request in requests:
            head = (await exchange(site, request)).partition(b"\r\n\r\n")[0].decode().lower()
            lines = head.split("\r\n")
            assert {f"{name}: {value}" for name, value in SECURITY.items()} <= set(lines), head
            assert not [line for line in lines if line.startswith("server:")]


async def test_it_listens_on_both_loopback_addresses_only(folder: Path) -> None:
    async with open_served(folder) as served:
        request = request_bytes("GET", "/style.css", served.site.headers)
        for host in (LOOPBACK, "::1"):
            assert (await exchange(served.site, request, host)).endswith(b"p {}")
        with pytest.raises(OSError, match=r"refused|all attempts"):
            await trio.open_tcp_stream("127.0.0.2", served.site.port)


# The token


async def test_the_token_is_exchanged_for_a_cookie(folder: Path) -> None:
    async with open_served(folder) as served:
        site = served.site
        target = f"/.peersockets/enter/{site.token}"
        answer = await ask(site, target, headers={"Host": site.host, "Sec-Fetch-Site": "none"})
        assert (answer.status, answer.headers["location"], answer.body) == (303, "/", b"")
        assert answer.headers["set-cookie"] == f"{site.cookie}; HttpOnly; SameSite=Lax; Path=/"
        # A redirect would count as a request of the page that had the link.
        other = await ask(site, target, headers={"Host": site.host, "Sec-Fetch-Site": "cross-site"})
        assert other.status == 200
        assert other.headers["set-cookie"] == answer.headers["set-cookie"]
        assert b'content="0;url=/"' in other.body


async def test_the_token_is_nowhere_else(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_served(folder) as served:
        site = served.site
        token = site.token.encode()
        for target in ("/", "/no", "/a", "/.peersockets/peersockets.js", "/.peersockets/enter/wrong"):
            data = await exchange(site, request_bytes("GET", target, site.headers))
            assert token not in data, target
        entered = await ask(site, f"/.peersockets/enter/{site.token}")
        assert token not in entered.body
        assert site.token not in entered.headers["location"]
        async with open_page(site) as page:
            await page.say("watch", 1)
            assert site.token not in str(await page.hear())
            assert page.socket.response is not None
            assert site.token not in str(page.socket.response)
        records = [r for r in caplog.records if not r.name.startswith("websockets.client")]
        assert not [r for r in records if site.token in r.getMessage()]


# Attacks


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Origin": None}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Cookie": None}, 403),
        ({"Cookie": "peersockets=1"}, 403),
        ({"Sec_WebSocket_Protocol": None}, 400),
        ({"Sec_WebSocket_Protocol": "peersockets.v2"}, 400),
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Upgrade": None, "Connection": "close"}, 426),
    ],
)
async def test_sockets_that_are_refused(folder: Path, changes: dict[str, Any], status: int) -> None:
    async with open_served(folder) as served:
        assert await status_of(served.site, opening(served.site, **changes)) == status
        assert len(served.ours.drive.peers) == 1


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET / HTTP/2.0", None),
        ("GET /", None),
        ("GET  / HTTP/1.1", None),
        ("GET /\x80 HTTP/1.1", None),
        ("GET http://evil.example/ HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 405),
        ("POST / HTTP/1.1", 405),
        ("BREW / HTTP/1.1", 405),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", 404),
        ("GET /../../etc/passwd HTTP/1.1", 404),
        (f"GET /{'a' * 9000} HTTP/1.1", 414),
    ],
)
async def test_requests_that_are_refused(folder: Path, request_line: str, status: int | None) -> None:
    async with open_served(folder) as served:
        headers = request_bytes("GET", "/", served.site.headers).partition(b"\r\n")[2]
        data = await exchange(served.site, request_line.encode("latin-1") + b"\r\n" + headers)
        assert (int(data.split(b" ")[1]) if data else None) == status
        assert (await ask(served.site, "/style.css")).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "Host: evil.example",
        "Transfer-Encoding: chunked",
        "Content-Length: 5",
        "No colon",
        "A: b\r\n folded",
        f"A: {'b' * 9000}",
        "\r\n".join(["A: b"] * 200),
    ],
)
async def test_headers_that_are_refused(folder: Path, header: str) -> None:
    async with open_served(folder) as served:
        request = request_bytes("GET", "/", served.site.headers)
        data = await exchange(served.site, request[:-2] + header.encode() + b"\r\n\r\n")
        assert data == b"" or int(data.split(b" ")[1]) in (400, 421, 431)
        assert (await ask(served.site, "/style.css")).status == 200


async def test_a_stray_byte_after_the_request_harms_nobody(folder: Path) -> None:
    async with open_served(folder) as served:
        site = served.site
        await exchange(site, opening(site) + b"x" * 100)
        assert (await exchange(site, request_bytes("GET", "/style.css", site.headers) + b"x")).endswith(
            b"p {}"
        )
        async with open_page(site) as page:
            await page.say("watch", 1)
            assert await page.until(1, "join")


async def test_other_users_of_the_machine_are_refused_even_with_the_token(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of theirs, on another port of the same name, gets the cookie from a browser led there."""
    async with open_served(folder) as served:
        ours = os.geteuid()
        monkeypatch.setattr(users, "_ROOT", -1)
        monkeypatch.setattr(os, "geteuid", lambda: ours + 1)
        for target in ("/", f"/.peersockets/enter/{served.site.token}"):
            assert (await ask(served.site, target)).status == 403
        assert await status_of(served.site, opening(served.site)) == 403


# Sockets


async def test_the_number_of_tabs_is_bounded(folder: Path) -> None:
    limits = GatewayLimits(tabs=1)
    async with open_served(folder, limits=limits) as served:
        async with open_page(served.site):
            with pytest.raises(InvalidStatus, match="503"):
                async with open_page(served.site):
                    raise AssertionError
            assert (await ask(served.site, "/style.css")).status == 200
        again = False
        while not again:
            with suppress(InvalidStatus):  # the gateway notices a little later that the first one has ended
                async with open_page(served.site):
                    again = True


async def test_the_end_of_the_gateway_closes_sockets(folder: Path) -> None:
    codes: list[int | None] = []

    async def stay(site: Site, task_status: trio.TaskStatus[None]) -> None:
        async with open_page(site) as page:
            task_status.started()
            await page.socket.stream_closed.wait()
            codes.append(page.socket.close_code)

    async with trio.open_nursery() as nursery, open_served(folder) as served:
        for _ in range(3):
            await nursery.start(stay, served.site)
    assert codes == [1001] * 3


@pytest.mark.parametrize("full", [False, True])
async def test_the_end_of_the_gateway_waits_for_no_tab(folder: Path, full: bool) -> None:
    """A tab that a debugger has stopped does not answer, and may have frames waiting for it."""
    limits = GatewayLimits(close_time=0.1)
    async with AsyncExitStack() as stack:
        async with open_served(folder, limits=limits) as served:
            await stack.enter_async_context(open_raw(served.site))
            if full:
                async with served.theirs.drive.join("chat") as topic:
                    for _ in range(20):
                        await topic.send(served.theirs.peer_id, bytes(1024 * 1024))
        # The block has ended.
        with pytest.raises(OSError, match=r"refused|all attempts"):
            await trio.open_tcp_stream(LOOPBACK, served.site.port)


async def test_a_socket_that_vanishes_leaves_its_topics(folder: Path) -> None:
    async with open_served(folder) as served:
        async with open_raw(served.site) as raw:
            assert await hears(served, "chat")
            raw.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until_left(served, "chat")
        async with open_page(served.site) as page:
            await page.say("join", 1, "chat")
            await page.say("watch", 2)
            await page.until(2, "join")
            assert await hears(served, "chat")
        await until_left(served, "chat")
