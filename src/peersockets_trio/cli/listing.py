"""A trace as text: the entries of each side, and the messages in its bytes in the clear."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs

from peersockets_core import DriveKey, TraceError
from peersockets_core.secret import Secret
from peersockets_core.trace import (
    Digest,
    Ended,
    Entry,
    OpenCommand,
    Received,
    Sent,
    Trace,
    Transcript,
    WireMessage,
)

_SHORT: Final = 16
"""The most bytes of a value that are shown in hex; a longer one is cut to these."""
_TEXT: Final = 60
"""The most characters of a message's text that are shown."""
_HIDDEN: Final = ("side",)


def listing(trace: Trace) -> Iterator[str]:
    """Yield the lines of the listing."""
    yield trace.shows
    programs = ", ".join(f"{name} {version}" for name, version in trace.produced_by.items())
    yield f"{trace.wire}, recorded with {programs}; comparable by: {trace.comparison}"
    yield ""
    known = next(iter(trace.secrets), None)
    transcript = Transcript(trace.wire, known, trace.secrets[known]) if known is not None else None
    for entry in trace.entries:
        yield f"{entry.side:9}  {_happening(entry)}"
        if not isinstance(entry, Sent) or transcript is None:
            continue
        if isinstance(entry.sent, Digest):
            yield _line(
                "the trace has only a digest of these bytes, so the messages from here on are unknown"
            )
            transcript = None
            continue
        try:
            yield from map(_said, transcript.feed(entry.side, entry.sent))
        except TraceError as error:
            yield _line(str(error))
            transcript = None


def _happening(entry: Entry) -> str:
    match entry:
        case Sent():
            return f"sent {entry.size} bytes"
        case Received():
            return f"received {entry.received} bytes"
        case Ended():
            return "received the end"
        case OpenCommand():
            return f"command open drive={DriveKey(entry.key)}"
    key, name = entry.kind
    fields = attrs.asdict(entry, filter=lambda field, value: field.name not in _HIDDEN and value is not None)
    return f"{key} {name}{_fields(fields.items())}"


def _said(message: WireMessage) -> str:
    channel = "" if message.channel is None else f" on channel {message.channel}"
    batch = "" if message.batch is None else f"  [batch {message.batch}]"
    return _line(f"{message.name}{channel}{_fields(message.fields.items())}{batch}")


def _line(text: str) -> str:
    return f"{'':13}{text}"


def _fields(fields: Iterable[tuple[str, Any]]) -> str:
    return "".join(f" {name}={_value(value)}" for name, value in fields)


def _value(value: Any) -> str:
    if not isinstance(value, bytes) or isinstance(value, Secret):
        return ascii(value) if isinstance(value, str | list) else str(value)
    text = value.decode(errors="replace")
    if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text:
        return ascii(text) if len(text) <= _TEXT else f"{text[:_TEXT]!a}... ({len(value)} bytes)"
    return value.hex() if len(value) <= _SHORT else f"{value[:_SHORT].hex()}... ({len(value)} bytes)"
