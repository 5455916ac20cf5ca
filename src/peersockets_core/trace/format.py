"""Traces as files: a sequence of CBOR items (RFC 8742), the header first. docs/traces.md has the schema."""

from __future__ import annotations

import io
from typing import Any, Final

import attrs
import cbor2

from ..errors import TraceError
from .entries import ENTRIES, MAX_PAYLOAD, Digest, Entry, Secrets, Trace

VERSION: Final = 1
"""The version of the format; this module cannot read files with any other version."""

_REPEATED = 1024  # bytes; from this size, a payload of one repeated byte is written as a repetition
_MAX_REPEATED = 8 * MAX_PAYLOAD  # bytes in one trace: a small file must not fill the memory
_NAMED = {entry.kind: entry for entry in ENTRIES if entry.kind[1] is not None}
_UNNAMED = {entry.kind[0]: entry for entry in ENTRIES if entry.kind[1] is None}
_KINDS = {key for key, _ in _NAMED}


def write(trace: Trace) -> bytes:
    """Return the content of the file for `trace`."""
    header = {
        "peersocketsTrace": VERSION,
        "wire": trace.wire,
        "shows": trace.shows,
        "producedBy": trace.produced_by,
        "comparison": trace.comparison,
        "secrets": {side: attrs.asdict(secrets) for side, secrets in trace.secrets.items()},
    }
    return b"".join(map(cbor2.dumps, (header, *map(_item, trace.entries))))


def read(data: bytes) -> Trace:
    """Read a file's content. Raises `TraceError` if it is not a trace of this format."""
    stream = io.BytesIO(data)
    decoder = cbor2.CBORDecoder(stream)
    items = []
    try:
        while stream.tell() < len(data):
            items.append(decoder.decode())
    except (cbor2.CBORDecodeError, RecursionError, ValueError, TypeError) as error:
        raise TraceError(f"not a trace: item {len(items)} is not CBOR: {error}") from None
    if not items or not isinstance(items[0], dict) or "peersocketsTrace" not in items[0]:
        raise TraceError("not a trace: it begins with no header")
    if items[0]["peersocketsTrace"] != VERSION:
        raise TraceError(f"a trace of format {items[0]['peersocketsTrace']!r:.80}, not {VERSION}")
    trace = None
    try:
        _check_repeated(items[1:])
        trace = _trace(items[0])
        trace.entries.extend(map(_entry, items[1:]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        item = 0 if trace is None else 1 + len(trace.entries)
        raise TraceError(f"not a trace: item {item}: {_explain(error)}") from None
    return trace


def _item(entry: Entry) -> dict[str, Any]:
    key, name = entry.kind
    fields = {_camel(field.name): getattr(entry, field.name) for field in attrs.fields(type(entry))}
    item = {"side": fields.pop("side")} | ({key: name} if name is not None else {}) | fields
    if isinstance(item.get("sent"), Digest):
        item["sent"] = attrs.asdict(item["sent"])
    payload = item.get("payload", b"")
    if len(payload) >= _REPEATED and payload.count(payload[0]) == len(payload):
        item["payload"] = {"repeat": payload[:1], "size": len(payload)}
    return item


def _trace(header: dict[str, Any]) -> Trace:
    return Trace(
        wire=header["wire"],
        shows=header["shows"],
        produced_by=header["producedBy"],
        comparison=header["comparison"],
        secrets={side: Secrets(**given) for side, given in header["secrets"].items()},
    )


def _entry(item: Any) -> Entry:
    if not isinstance(item, dict):
        raise TypeError(f"an entry is a map, not {type(item).__name__}")
    fields = dict(item)
    cls = next((_UNNAMED[key] for key in fields if key in _UNNAMED), None)
    for key in _KINDS & fields.keys():
        cls = _NAMED.get((key, fields.pop(key)))
    if cls is None:
        raise ValueError("an entry of no known kind")
    if isinstance(fields.get("sent"), dict):
        fields["sent"] = Digest(**fields["sent"])
    if isinstance(fields.get("payload"), dict):
        fields["payload"] = _repeat(**fields["payload"])
    return cls(**{_snake(name): value for name, value in fields.items()})


def _check_repeated(items: list[Any]) -> None:
    payloads = [item.get("payload") for item in items if isinstance(item, dict)]
    if sum(abs(payload["size"]) for payload in payloads if isinstance(payload, dict)) > _MAX_REPEATED:
        raise TraceError(f"not a trace: it repeats more than {_MAX_REPEATED} bytes")


def _repeat(repeat: bytes, size: int) -> bytes:
    if not isinstance(repeat, bytes) or len(repeat) != 1:
        raise ValueError("repeat must be one byte")
    if not 0 <= size <= MAX_PAYLOAD:
        raise ValueError(f"size must be from 0 to {MAX_PAYLOAD}")
    return repeat * size


def _explain(error: Exception) -> str:
    text = str(error.args[0])  # an error of attrs has further arguments
    return f"no {text!r}" if isinstance(error, KeyError) else text


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
