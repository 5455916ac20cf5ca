"""`peersockets_trio.cli.large`: large messages as JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import trio

from peersockets_trio.cli.large import LARGE, large_message_line

EVENT: dict[str, Any] = {"event": "message", "topic": "ch\u00e4t", "peerId": 1}

MESSAGES = {
    "control characters": b'\x00\x1b\x7f"\\' * LARGE,
    "characters of two bytes": "\u00e4".encode() * LARGE,
    "characters across the ends of pieces": b"x" + "\U0001f600".encode() * LARGE,
    "a direction override": b"x" * LARGE + "\u202e".encode(),
    "one byte more than a piece": b"x" * (LARGE + 1),
    "the empty message": b"",
}
NOT_UTF8 = {
    "half a character at the end": b"x" * LARGE + "\U0001f600".encode()[:3],
    "a bad byte in the middle": b"x" * LARGE + b"\xff" + b"x" * LARGE,
    "a lone surrogate": b"\xed\xa0\x80" + b"x" * LARGE,
}


def expected(message: bytes, text: str | None) -> bytes:
    event = {**EVENT, "message": base64.b64encode(message).decode()}
    if text is not None:
        event["text"] = text
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
async def test_the_line_equals_that_of_json(message: bytes) -> None:
    assert b"".join(await large_message_line(EVENT, message)) == expected(message, message.decode())


@pytest.mark.parametrize("message", NOT_UTF8.values(), ids=NOT_UTF8.keys())
async def test_bytes_that_are_not_utf8_have_no_text(message: bytes) -> None:
    assert b"".join(await large_message_line(EVENT, message)) == expected(message, None)


async def test_other_tasks_have_their_turn_after_each_piece() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    pieces = 40
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        line = await large_message_line(EVENT, bytes(pieces * LARGE))
        nursery.cancel_scope.cancel()
    assert turns >= 2 * pieces - 1
    assert max(map(len, line)) <= 6 * LARGE
