"""Every recorded session, with our code on each side: the same bytes, the same reports, in all chunks."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from core.support import CUTS
from peersockets_core import TraceError
from peersockets_core.trace import Sent, replay
from traces.files import NAMES, is_large, load


def in_pieces(data: bytes) -> Iterator[bytes]:
    return (data[start : start + 65_521] for start in range(0, len(data), 65_521))


def test_there_are_traces_of_both_wires() -> None:
    assert {load(name).wire for name in NAMES} == {"hypercore9", "hypercore11"}
    assert len(NAMES) >= 30


@pytest.mark.parametrize("ahead", [0, 1], ids=["", "with a trailing byte"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", NAMES)
def test_replay(name: str, cut: str, ahead: int) -> None:
    trace = load(name)
    replay(trace, cut=in_pieces if is_large(trace) and cut != "whole" else CUTS[cut], ahead=ahead)


@pytest.mark.parametrize("name", [name for name in NAMES if not is_large(load(name))])
def test_each_side_by_itself(name: str) -> None:
    trace = load(name)
    for side in trace.secrets:
        replay(trace, sides=[side])


@pytest.mark.parametrize("name", [name for name in NAMES if load(name).comparison == "messages"])
def test_traces_with_a_weaker_comparison_need_it(name: str) -> None:
    trace = load(name)
    with pytest.raises(TraceError):
        replay(attrs.evolve(trace, comparison="bytes"))


@pytest.mark.parametrize("name", [name for name in NAMES if load(name).comparison == "bytes"])
def test_a_changed_byte_is_noticed(name: str) -> None:
    trace = load(name)
    position, last = [
        (position, entry)
        for position, entry in enumerate(trace.entries)
        if isinstance(entry, Sent) and entry.side in trace.secrets and isinstance(entry.sent, bytes)
    ][-1]
    assert isinstance(last.sent, bytes)
    changed = attrs.evolve(last, sent=last.sent[:-1] + bytes((last.sent[-1] ^ 1,)))
    entries = [*trace.entries[:position], changed, *trace.entries[position + 1 :]]
    with pytest.raises(TraceError):
        replay(attrs.evolve(trace, entries=entries))
