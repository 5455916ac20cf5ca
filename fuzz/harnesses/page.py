"""Invariant: each frame of a page is refused or read exactly; no request is admitted without the cookie.

The first byte of an input chooses the kind of the rest: a text frame, a binary frame, a request, or a page of
HTML. A request has its method, target and headers on separate lines.
"""

from __future__ import annotations

import json
import struct
from typing import Final

from fuzz.support import Script, bounded_work
from peersockets_core import RemoteProtocolError
from peersockets_trio.browser.access import (
    ErrorResponse,
    GatewayAddress,
    LogIn,
    SiteFile,
    WebSocketUpgrade,
    authorize_untrusted,
)
from peersockets_trio.browser.frames import (
    CloseHandle,
    JoinTopic,
    WatchMembers,
    read_binary_untrusted,
    read_text_untrusted,
)
from peersockets_trio.browser.inject import TAG, inject_script
from peersockets_trio.browser.limits import LARGEST_TOPIC

CALLS: Final = 500
CALLS_PER_BYTE: Final = 20
ADDRESS: Final = GatewayAddress("a.localhost", 1, "token")


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    check = _CHECKS[script.choose(len(_CHECKS))]
    rest = script.take(len(data))
    with bounded_work(lambda: CALLS + CALLS_PER_BYTE * len(data)):
        check(rest)


def _check_text(data: bytes) -> None:
    """Check that a command has the same content as the JSON that it was read from."""
    try:
        text = data.decode()
        command = read_text_untrusted(text)
    except (UnicodeDecodeError, RemoteProtocolError):
        return
    assert 0 < command.handle <= 0xFFFFFFFF
    match command:
        case JoinTopic(handle, topic):
            assert json.loads(text) == ["join", handle, topic]
            assert len(topic.encode()) <= LARGEST_TOPIC
        case WatchMembers(handle):
            assert json.loads(text) == ["watch", handle]
        case CloseHandle(handle):
            assert json.loads(text) == ["close", handle]


def _check_binary(data: bytes) -> None:
    """Check that writing the messages of a frame yields the same frame."""
    try:
        messages = read_binary_untrusted(data)
    except RemoteProtocolError:
        return
    if data[:4] == bytes(4):
        records = [struct.pack(">III", *message[:2], len(message[2])) + message[2] for message in messages]
        assert bytes(4) + b"".join(records) == data
    else:
        [(handle, peer_id, payload)] = messages
        assert struct.pack(">II", handle, peer_id) + payload == data


def _check_request(data: bytes) -> None:
    """Check that only a request with our host, cookie and origin is answered, and only with a file below the
    root.
    """
    method, target, *lines = [*data.decode("latin-1").split("\n"), "", ""]
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]

    def get_all(name: str) -> list[str]:
        return [value for given, value in headers if given == name]

    decision = authorize_untrusted(ADDRESS, method, target, get_all)
    if isinstance(decision, ErrorResponse):
        assert decision.status >= 400
        return
    assert get_all("Host") == [ADDRESS.host]
    assert method in ("GET", "HEAD")
    if isinstance(decision, LogIn):
        assert ADDRESS.token in target
        return
    assert any(ADDRESS.token in cookie for cookie in get_all("Cookie"))
    if isinstance(decision, WebSocketUpgrade):
        assert get_all("Origin") == [ADDRESS.origin]
    else:
        assert get_all("Sec-Fetch-Site") in (["none"], ["same-origin"])
    if isinstance(decision, SiteFile):
        for name in decision.names:
            assert name
            assert not name.startswith(".")
            assert not set(name) & set("/\\\0")


def _check_inject(data: bytes) -> None:
    """Check that the script is inserted, unless the page is in UTF-16, and that nothing else changes."""
    page = inject_script(data)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        assert page == data
    else:
        at = page.index(TAG)
        assert page[:at] + page[at + len(TAG) :] == data


_CHECKS: Final = (_check_text, _check_binary, _check_request, _check_inject)
