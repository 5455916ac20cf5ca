"""The stored files, checked against the schema in the documentation."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import cbor2
import pytest
from pycddl import Schema, ValidationError

from peersockets_core.trace import read, write
from peersockets_core.trace.entries import ENTRIES
from traces.files import NAMES, PATHS, load

PAGE = Path(__file__).parents[2] / "docs" / "traces.md"
CDDL, HANDSHAKES = re.findall(r"```cddl\n(.*?)```", PAGE.read_text(), re.DOTALL)
SCHEMA = Schema(CDDL)
HANDSHAKE_PATHS = sorted((Path(__file__).parent / "handshakes").glob("*.cbor"))
LARGEST = 2 * 1024 * 1024
"""The bytes of all traces together. Everyone who clones the repository downloads them."""


def items(path: Path) -> list[Any]:
    stream = io.BytesIO(path.read_bytes())
    decoder = cbor2.CBORDecoder(stream)
    found = []
    while stream.tell() < path.stat().st_size:
        found.append(decoder.decode())
    return found


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_every_item_obeys_the_schema(path: Path) -> None:
    header, *entries = items(path)
    assert "peersocketsTrace" in header
    for item in (header, *entries):
        SCHEMA.validate_cbor(cbor2.dumps(item))


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_side_reads_nothing_after_the_end(path: Path) -> None:
    _, *entries = items(path)
    ended = set()
    for entry in entries:
        assert entry["side"] not in ended or not entry.keys() & {"ended", "received"}
        if "ended" in entry:
            ended.add(entry["side"])


@pytest.mark.parametrize("path", HANDSHAKE_PATHS, ids=[path.stem for path in HANDSHAKE_PATHS])
def test_every_handshake_obeys_its_schema(path: Path) -> None:
    Schema(HANDSHAKES).validate_cbor(path.read_bytes())


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_trace_that_is_read_and_written_stays_the_same(path: Path) -> None:
    assert write(read(path.read_bytes())) == path.read_bytes()


def test_every_kind_of_entry_occurs() -> None:
    assert {type(entry) for name in NAMES for entry in load(name).entries} == set(ENTRIES)


def test_the_traces_are_small() -> None:
    assert sum(path.stat().st_size for path in PATHS) < LARGEST


HEADER, SENT, *_ = items(PATHS[0])
SEND = {"side": "initiator", "command": "send", "discoveryKey": None, "name": "", "payload": b""}


@pytest.mark.parametrize(
    "item",
    [
        {},
        [],
        HEADER | {"peersocketsTrace": 2},
        HEADER | {"wire": "tcp"},
        HEADER | {"secrets": {"initiator": {"seed": bytes(32)}}},
        HEADER | {"secrets": {"somebody": HEADER["secrets"]["initiator"]}},
        {key: value for key, value in HEADER.items() if key != "comparison"},
        {"side": "initiator"},
        {"side": "somebody", "sent": b""},
        {"side": "initiator", "sent": "text"},
        {"side": "initiator", "sent": b"", "more": 1},
        {"side": "initiator", "received": -1},
        {"side": "initiator", "ended": False},
        {"side": "initiator", "command": "open", "key": bytes(31)},
        {"side": "initiator", "command": "dance"},
        {"side": "initiator", "event": "open", "key": bytes(32)},
        SEND | {"payload": "text"},
        SEND | {"payload": {"repeat": b"AB", "size": 5}},
    ],
    ids=lambda item: str(item)[:60],
)
def test_the_schema_refuses(item: object) -> None:
    with pytest.raises(ValidationError):
        SCHEMA.validate_cbor(cbor2.dumps(item))
