from __future__ import annotations

from http import HTTPStatus
from typing import Final

import pytest

from peersockets_trio.browser.access import (
    Decision,
    ErrorResponse,
    GatewayAddress,
    GetAll,
    LogIn,
    OwnFile,
    SiteFile,
    WebSocketUpgrade,
    authorize_untrusted,
)

TOKEN: Final = "5e" * 32
ADDRESS: Final = GatewayAddress("ab12.localhost", 8080, TOKEN)
HOST: Final = ("Host", "ab12.localhost:8080")
COOKIE: Final = ("Cookie", f"peersockets-8080={TOKEN}")
SAME: Final = ("Sec-Fetch-Site", "same-origin")
NONE: Final = ("Sec-Fetch-Site", "none")
ORIGIN: Final = ("Origin", "http://ab12.localhost:8080")
SOCKET: Final = "/.peersockets/socket"

Header = tuple[str, str]


def get_all(headers: tuple[Header, ...]) -> GetAll:
    return lambda name: [value for given, value in headers if given == name]


def authorize(target: str, *headers: Header, method: str = "GET") -> Decision:
    return authorize_untrusted(ADDRESS, method, target, get_all(headers))


def status(decision: Decision) -> int | None:
    return decision.status.value if isinstance(decision, ErrorResponse) else None


def test_addresses() -> None:
    assert ADDRESS.origin == "http://ab12.localhost:8080"
    assert ADDRESS.url == f"http://ab12.localhost:8080/.peersockets/enter/{TOKEN}"
    assert TOKEN not in repr(ADDRESS)
    assert ADDRESS.cookie == f"peersockets-8080={TOKEN}; HttpOnly; SameSite=Lax; Path=/"
    assert GatewayAddress("ab12.localhost", 80, TOKEN).origin == "http://ab12.localhost"


# The host


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("127.0.0.1:8080",),
        ("localhost:8080",),
        ("[::1]:8080",),
        ("ab12.localhost",),
        ("ab12.localhost:8081",),
        ("www.ab12.localhost:8080",),
        ("ab12.localhost:8080.evil.example",),
        ("evil.example:8080",),
        ("ab12.localhost:8080 ",),
        ("AB12.localhost:8080",),
        ("ab12.localhost.:8080",),
        (HOST[1], HOST[1]),
        (HOST[1], "evil.example"),
    ],
)
@pytest.mark.parametrize("target", ["/", f"/.peersockets/enter/{TOKEN}", SOCKET])
def test_any_other_host_is_refused_even_with_the_token(hosts: tuple[str, ...], target: str) -> None:
    headers = [("Host", host) for host in hosts]
    assert status(authorize(target, *headers, COOKIE, SAME, ORIGIN)) == HTTPStatus.MISDIRECTED_REQUEST


# Methods and targets


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "get", ""]
)
def test_other_methods_are_refused(method: str) -> None:
    decision = authorize("/", HOST, COOKIE, SAME, method=method)
    assert status(decision) == HTTPStatus.METHOD_NOT_ALLOWED
    assert isinstance(decision, ErrorResponse)
    assert decision.headers == {"Allow": "GET, HEAD"}
    assert authorize("/", HOST, COOKIE, SAME, method="HEAD") == SiteFile(("index.html",))


@pytest.mark.parametrize("target", ["", "*", "a", "http://ab12.localhost:8080/", "//\x00", "/a\tb", "/\x7f"])
def test_malformed_targets_are_refused(target: str) -> None:
    assert status(authorize(target, HOST, COOKIE, SAME)) in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)


# Admission


def test_the_token_is_exchanged_for_the_cookie() -> None:
    enter = f"/.peersockets/enter/{TOKEN}"
    for headers in ((), (NONE,), (SAME,)):
        assert authorize(enter, HOST, *headers) == LogIn(by_page=False)
    for site in ("cross-site", "same-site", "nonsense"):
        assert authorize(enter, HOST, ("Sec-Fetch-Site", site)) == LogIn(by_page=True)
    assert authorize(f"{enter}?a", HOST) == LogIn(by_page=False)


@pytest.mark.parametrize(
    "token", ["", "5e", TOKEN[:-1], f"{TOKEN}5", TOKEN.upper(), f"{TOKEN}/", "%35e" * 16]
)
def test_a_wrong_token_is_refused(token: str) -> None:
    assert status(authorize(f"/.peersockets/enter/{token}", HOST, COOKIE, SAME)) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "target", ["/", "/a.css", "/.peersockets/peersockets.js", SOCKET, "/.git/config", "/a//b"]
)
@pytest.mark.parametrize(
    "cookie",
    [
        (),
        (("Cookie", f"peersockets-8080={TOKEN[:-1]}0"),),
        (("Cookie", f"peersockets-8081={TOKEN}"),),
        (("Cookie", ""),),
    ],
)
def test_nothing_is_served_without_the_cookie(target: str, cookie: tuple[Header, ...]) -> None:
    assert status(authorize(target, HOST, *cookie, SAME, ORIGIN)) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("target", ["/", "/a.css", "/.peersockets/peersockets.js"])
@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("Sec-Fetch-Site", "same-site"),),
        (("Sec-Fetch-Site", "cross-site"),),
        (("Sec-Fetch-Site", ""),),
        (SAME, SAME),
        (NONE, ("Sec-Fetch-Site", "cross-site")),
        (SAME, ("Origin", "null")),
        (SAME, ("Origin", "http://ab12.localhost:8081")),
        (SAME, ORIGIN, ORIGIN),
    ],
)
def test_pages_of_other_origins_get_no_files(target: str, headers: tuple[Header, ...]) -> None:
    assert status(authorize(target, HOST, COOKIE, *headers)) == HTTPStatus.FORBIDDEN


def test_our_pages_and_the_user_get_files() -> None:
    for headers in ((SAME,), (NONE,), (SAME, ORIGIN)):
        assert authorize("/", HOST, COOKIE, *headers) == SiteFile(("index.html",))
        assert authorize("/.peersockets/peersockets.js?v=1", HOST, COOKIE, *headers) == OwnFile(
            "peersockets.js"
        )


@pytest.mark.parametrize(
    "headers",
    [
        (SAME,),
        (SAME, ("Origin", "null")),
        (SAME, ("Origin", "")),
        (SAME, ("Origin", "http://ab12.localhost:8081")),
        (SAME, ("Origin", "http://ab12.localhost")),
        (SAME, ("Origin", "https://ab12.localhost:8080")),
        (SAME, ("Origin", "http://www.ab12.localhost:8080")),
        (SAME, ("Origin", "http://ab12.localhost:8080.evil.example")),
        (SAME, ("Origin", "http://AB12.localhost:8080")),
        (SAME, ("Origin", "http://127.0.0.1:8080")),
        (SAME, ORIGIN, ORIGIN),
        (ORIGIN, ("Sec-Fetch-Site", "same-site")),
        (ORIGIN, ("Sec-Fetch-Site", "cross-site")),
        (ORIGIN, ("Sec-Fetch-Site", "none")),
    ],
)
def test_pages_of_other_origins_get_no_socket(headers: tuple[Header, ...]) -> None:
    assert status(authorize(SOCKET, HOST, COOKIE, *headers)) == HTTPStatus.FORBIDDEN


def test_our_pages_get_a_socket() -> None:
    assert authorize(SOCKET, HOST, COOKIE, ORIGIN) == WebSocketUpgrade()
    assert authorize(SOCKET, HOST, COOKIE, ORIGIN, SAME) == WebSocketUpgrade()
    assert authorize(f"{SOCKET}?x", HOST, COOKIE, ORIGIN, SAME) == WebSocketUpgrade()


# Paths


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("/", ("index.html",)),
        ("/?q=/../a", ("index.html",)),
        ("/a/b.css", ("a", "b.css")),
        ("/a/", ("a", "index.html")),
        ("/a%20b%C3%A4.html", ("a bä.html",)),
        ("/a+b", ("a+b",)),
        ("/%2561", ("%61",)),
        ("/a..b/c.", ("a..b", "c.")),
    ],
)
def test_paths_are_decoded_once(target: str, names: tuple[str, ...]) -> None:
    assert authorize(target, HOST, COOKIE, SAME) == SiteFile(names)


@pytest.mark.parametrize(
    "target",
    [
        "/..",
        "/../a",
        "/a/../b",
        "/a/..",
        "/./a",
        "/%2e%2e/a",
        "/%2E./a",
        "/a%2f..%2fb",
        "/a%2Fb",
        "/a\\b",
        "/a%5cb",
        "/..%5cb",
        "/a%00",
        "/a%00.html",
        "/a%0a",
        "/a%7f",
        "/%ff",
        "/%c0%ae%c0%ae/a",
        "/%ed%a0%80",
        "/a%",
        "/a%4",
        "/a%zz",
        "//a",
        "/a//b",
        "/a//",
        "/.git/config",
        "/a/.env",
        "/%2egit",
        "/.peersockets/",
        "/.peersockets",
        "/.peersockets/other.js",
        "/.peersockets/../a",
        "/.peersockets/peersockets.js/",
        "/%e2%80%ae",
    ],
)
def test_paths_without_a_file(target: str) -> None:
    assert status(authorize(target, HOST, COOKIE, SAME)) == HTTPStatus.NOT_FOUND
