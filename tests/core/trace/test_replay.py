from __future__ import annotations

from typing import Any

import attrs
import pytest

from peersockets_core import TraceError
from peersockets_core.trace import (
    CloseCommand,
    Comparison,
    Digest,
    MessageReport,
    OpenCommand,
    Received,
    Report,
    Send,
    Sent,
    Trace,
    Unregister,
    replay,
    said,
)
from traces.files import load

WIRES = ["hypercore9", "hypercore11"]


def edited(trace: Trace, *, where: Any, put: Any) -> Trace:
    """Return the trace with the entries from `put` in place of the first entry for which `where` holds."""
    entries = trace.entries
    position = next(number for number, entry in enumerate(entries) if where(entry))
    changed = [*entries[:position], *put(entries[position]), *entries[position + 1 :]]
    return attrs.evolve(trace, entries=changed)


def is_a(*classes: type) -> Any:
    return lambda entry: isinstance(entry, classes)


@pytest.mark.parametrize("wire", WIRES)
def test_a_side_without_secrets_cannot_be_played(wire: str) -> None:
    trace = load(f"{wire}-wrong-capability")
    with pytest.raises(TraceError, match="no secrets of the responder"):
        replay(trace, sides=["responder"])
    with pytest.raises(TraceError, match="no secrets of the responder"):
        said(trace, "responder")
    replay(trace)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("comparison", ["bytes", "messages", "channels"])
def test_a_missing_message(wire: str, comparison: Comparison) -> None:
    trace = attrs.evolve(load(f"{wire}-chat"), comparison=comparison)
    replay(trace)
    with pytest.raises(TraceError, match="the initiator s"):
        replay(edited(trace, where=is_a(Send), put=lambda _: []), sides=["initiator"])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("comparison", ["bytes", "messages", "channels"])
def test_an_extra_message(wire: str, comparison: Comparison) -> None:
    trace = load(f"{wire}-several-topics")
    sent = next(filter(is_a(Send), trace.entries))
    more = attrs.evolve(trace, comparison=comparison, entries=[*trace.entries, sent])
    with pytest.raises(TraceError, match="the initiator"):
        replay(more, sides=["initiator"])


@pytest.mark.parametrize("wire", WIRES)
def test_a_missing_report(wire: str) -> None:
    trace = load(f"{wire}-chat")
    for put in (
        lambda report: [report, report],
        lambda report: [],
        lambda report: [attrs.evolve(report, payload=b"another")],
    ):
        with pytest.raises(TraceError, match="reported"):
            replay(edited(trace, where=is_a(MessageReport), put=put))


@pytest.mark.parametrize("wire", WIRES)
def test_reports_are_compared_in_order(wire: str) -> None:
    trace = load(f"{wire}-chat")
    reports = [entry for entry in trace.entries if isinstance(entry, Report) and entry.side == "responder"]
    rest = [entry for entry in trace.entries if entry not in reports]
    replay(attrs.evolve(trace, entries=[*rest, *reports]))
    with pytest.raises(TraceError, match="the responder reported"):
        replay(attrs.evolve(trace, entries=[*rest, *reversed(reports)]))


@pytest.mark.parametrize("wire", WIRES)
def test_impossible_commands(wire: str) -> None:
    trace = load(f"{wire}-chat")
    for command in (
        CloseCommand("initiator", bytes(32)),
        Unregister("initiator", "never registered"),
    ):
        with pytest.raises(TraceError, match=f"entry 1, command {command.kind[1]}: the initiator cannot"):
            replay(attrs.evolve(trace, entries=[command, *trace.entries]))
    opened = next(filter(is_a(OpenCommand), trace.entries))
    with pytest.raises(TraceError, match=r"cannot open: drive .* is already open"):
        replay(attrs.evolve(trace, entries=[opened, *trace.entries]))


def test_bytes_received_before_they_were_sent() -> None:
    trace = load("hypercore9-chat")
    with pytest.raises(TraceError, match="received more than was sent"):
        replay(edited(trace, where=is_a(Received), put=lambda e: [attrs.evolve(e, received=1000)]))


def test_a_digest_needs_both_players() -> None:
    trace = load("hypercore9-largest")
    replay(trace)
    replay(trace, sides=["initiator"])
    with pytest.raises(TraceError, match="only a digest"):
        replay(trace, sides=["responder"])
    with pytest.raises(TraceError, match="byte by byte"):
        replay(attrs.evolve(trace, comparison="messages"), sides=["initiator"])
    wrong = lambda e: [attrs.evolve(e, sent=attrs.evolve(e.sent, blake2b=bytes(32)))]  # noqa: E731
    large = lambda e: isinstance(e, Sent) and isinstance(e.sent, Digest)  # noqa: E731
    with pytest.raises(TraceError, match="the initiator sent Digest"):
        replay(edited(trace, where=large, put=wrong))


def test_order_between_channels() -> None:
    trace = load("hypercore11-several-drives")
    first, second = [e for e in trace.entries if isinstance(e, Send) and e.side == "initiator"][:2]
    swapped = [second if e is first else first if e is second else e for e in trace.entries]
    other = attrs.evolve(trace, entries=swapped)
    replay(attrs.evolve(other, comparison="channels"), sides=["initiator"])
    for comparison in ("bytes", "messages"):
        with pytest.raises(TraceError):
            replay(attrs.evolve(other, comparison=comparison), sides=["initiator"])
