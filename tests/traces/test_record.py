"""The recorder, with the installed JavaScript peers: it records the stored traces, and we can replay them."""

from __future__ import annotations

import pytest

from peersockets_core.trace import replay
from traces.files import NAMES, load
from traces.record import handshakes
from traces.record.sessions import SCRIPTS, lines, record

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("wire", [script.stem for script in SCRIPTS])
def test_traces_compared_byte_by_byte_are_recorded_identically(wire: str) -> None:
    names = [name for name in NAMES if load(name).wire == wire and load(name).comparison == "bytes"]
    again = dict(record(names))
    assert sorted(again) == names
    for name, trace in again.items():
        assert lines(trace) == lines(load(name))


def test_handshakes_are_recorded_identically() -> None:
    kept = {path.stem: path.read_bytes() for path in handshakes.FOLDER.glob("*.cbor")}
    assert dict(handshakes.record([])) == kept


@pytest.mark.parametrize("wire", [script.stem for script in SCRIPTS])
def test_new_recordings_of_complete_peers_replay(wire: str) -> None:
    names = [name for name in NAMES if load(name).wire == wire and "hyperdrive" in name]
    again = dict(record(names))
    assert sorted(again) == names
    for trace in again.values():
        replay(trace)
