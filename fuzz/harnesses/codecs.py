"""Invariant: decoders raise only `RemoteProtocolError`, and what they return encodes and decodes to itself.

The first byte of an input chooses the codec, the second its further arguments.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import attrs

from fuzz.support import Script, bounded_work, cuts, retained
from peersockets_core import RemoteProtocolError
from peersockets_core.wires.hypercore9 import messages, varint
from peersockets_core.wires.hypercore9.frames import (
    ExtensionRun,
    Frame,
    FrameParser,
    Item,
    encode,
    extension_head,
)
from peersockets_core.wires.hypercore11.encoding import (
    decode_buffer_untrusted,
    decode_string_untrusted,
    decode_uint_untrusted,
    encode_buffer,
    encode_uint,
)

CALLS: Final = 200
CALLS_PER_BYTE: Final = 30
MAX_BODY: Final = 64
MAX_ITEMS: Final = 8


def _varint(script: Script) -> None:
    start, data = script.byte(), script.rest()
    decoded = varint.decode_untrusted(data, start)
    if decoded is not None:
        number, end = decoded
        assert start < end <= min(len(data), start + varint.MAX_SIZE)
        again = varint.encode(number)
        assert len(again) <= end - start
        assert varint.decode_untrusted(again, 0) == (number, len(again))


_MESSAGES: Final[tuple[type[Any], ...]] = (messages.NoisePayload, *messages.TYPES)


def _protobuf(script: Script) -> None:
    message_class = _MESSAGES[script.choose(len(_MESSAGES))]
    data = script.rest()
    message = messages.decode_untrusted(message_class, data, max_items=MAX_ITEMS)
    for field in attrs.fields(message_class):
        value = getattr(message, field.name)
        assert not isinstance(value, list) or len(value) <= MAX_ITEMS
    again = messages.encode(message)
    assert messages.decode_untrusted(message_class, again, max_items=MAX_ITEMS) == message


_COMPACT: Final[tuple[tuple[Callable[..., tuple[Any, int]], Callable[[Any], bytes]], ...]] = (
    (decode_uint_untrusted, encode_uint),
    (decode_buffer_untrusted, encode_buffer),
    (decode_string_untrusted, lambda text: encode_buffer(text.encode())),
)


def _compact(script: Script) -> None:
    choice = script.byte()
    decode, encode_again = _COMPACT[choice % len(_COMPACT)]
    data = script.rest()
    start = min(choice // len(_COMPACT) % 4, len(data))
    value, end = decode(data, start, len(data))
    assert start < end <= len(data)
    again = encode_again(value)
    assert len(again) <= end - start
    assert decode(again, 0, len(again)) == (value, len(again))


def _frames(script: Script) -> None:
    size, data = script.byte(), script.rest()
    whole, pieces = _parsed(data, 0), _parsed(data, size)
    assert whole == pieces
    items, refused = whole
    again = b"".join(map(_encoded, items))
    assert _parsed(again, 0) == (items, False)
    if not refused:
        parser = FrameParser(MAX_BODY)
        parser.parse_untrusted(data, [])
        assert retained(parser) <= 2 * MAX_BODY + 1024


def _parsed(data: bytes, size: int) -> tuple[list[Item], bool]:
    """Return the items of a stream that arrives in pieces of `size` bytes, with joined runs, and whether it
    ends in a fault.
    """
    parser, items = FrameParser(MAX_BODY), list[Item]()
    refused = False
    try:
        for piece in cuts(data, size):
            parser.parse_untrusted(piece, items)
    except RemoteProtocolError:
        refused = True
    joined: list[Item] = []
    for item in items:
        last = joined[-1] if joined else None
        if isinstance(item, ExtensionRun) and isinstance(last, ExtensionRun) and last.id == item.id:
            last.payloads.extend(item.payloads)
        else:
            joined.append(item)
    return joined, refused


def _encoded(item: Item) -> bytes:
    if isinstance(item, Frame):
        return encode(item.channel, item.type, item.body)
    return b"".join(extension_head(item.id, len(payload)) + payload for payload in item.payloads)


_CODECS: Final = (_varint, _protobuf, _compact, _frames)


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    codec = _CODECS[script.choose(len(_CODECS))]
    with bounded_work(lambda: CALLS + CALLS_PER_BYTE * len(data)), contextlib.suppress(RemoteProtocolError):
        codec(script)
