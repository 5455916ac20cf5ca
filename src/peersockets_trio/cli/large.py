"""Large messages as JSON, one piece at a time: a message of 16 MiB takes a second, during which other tasks
can run.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import json
from collections.abc import Iterator
from typing import Any, Final

import trio

from .text import printable

LARGE: Final = 24 * 1024
"""Bytes from which a message counts as large, and bytes of a piece, which takes up to a millisecond. It
is a multiple of three, so that pieces in base64 can be joined."""


async def data_event_line(event: dict[str, Any], data: bytes) -> list[bytes]:
    """Return the JSON line of `event` with data of any size, as `large_message_line` does."""
    if len(data) > LARGE:
        return await large_message_line(event, data)
    event = {**event, "message": base64.b64encode(data).decode()}
    with contextlib.suppress(UnicodeDecodeError):
        event["text"] = data.decode()
    return [printable(_json(event)).encode() + b"\n"]


async def large_message_line(event: dict[str, Any], message: bytes) -> list[bytes]:
    """Return the JSON line of `event` with a message: `message` in base64, and `text` if it is UTF-8."""
    line = [_json(event).encode()[:-1], b',"message":"']
    for piece in _pieces(message):
        line.append(base64.b64encode(piece))
        await trio.lowlevel.checkpoint()
    text = await _text_untrusted(message)
    return [*line, b'"', *text, b"}\n"]


async def _text_untrusted(message: bytes) -> list[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = [b',"text":"']
    try:
        for piece in _pieces(message):
            pieces.append(_json(decoder.decode(piece)).encode()[1:-1])
            await trio.lowlevel.checkpoint()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return []
    return [*pieces, b'"']


def _pieces(message: bytes) -> Iterator[bytes]:
    return (message[start : start + LARGE] for start in range(0, len(message), LARGE))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
