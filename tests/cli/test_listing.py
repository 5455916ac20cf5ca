"""`peersockets_trio.cli.listing`: sessions as text."""

from __future__ import annotations

import attrs
import pytest

from peersockets_core.trace import MessageReport
from peersockets_trio.cli.listing import listing
from traces.files import NAMES, load

CHAT = "name='peersockets/v0/chat'"


def in_order(name: str, *wanted: str) -> bool:
    lines = iter(listing(load(name)))
    return all(any(line.startswith(start) for line in lines) for start in wanted)


@pytest.mark.parametrize("name", NAMES)
def test_every_trace_can_be_listed(name: str) -> None:
    lines = list(listing(load(name)))
    assert lines[0] == load(name).shows
    assert len(lines) > len(load(name).entries)
    assert not [line for line in lines if "cannot be read" in line]
    assert all(line.isprintable() for line in lines)


def test_hypercore9() -> None:
    said = " " * 13
    assert in_order(
        "hypercore9-chat",
        "hypercore9, recorded with hypercore-protocol 8.0.7",
        f"initiator  command register {CHAT}",
        "initiator  sent 59 bytes",
        f"{said}handshake bytes=3a",
        "responder  received 59 bytes",
        "initiator  event handshake remote_public_key=",
        f"{said}Open on channel 1 discovery_key=",
        f"{said}Status on channel 1 uploading=False downloading=True",
        f"initiator  command send {CHAT} payload='hello'",
        f"{said}Options on channel 0 extensions=['peersockets/v0/chat']",
        f"{said}extension on channel 0 id=0 {CHAT} payload='hello'",
        f"responder  event message {CHAT} payload='hello'",
        "responder  received the end",
        "responder  event closed fault=False",
    )


def test_hypercore11() -> None:
    said = " " * 13
    assert in_order(
        "hypercore11-chat",
        f"{said}header bytes=",
        f"{said}Open on channel 1 protocol='hypercore/alpha' id=",
        f"{said}Sync on channel 1 body=06000000  [batch 1]",
        f"{said}extension on channel 1 {CHAT} compressed=False payload='hello'  [batch 2]",
        f"{said}extension on channel 1 {CHAT} compressed=True payload='bye'  [batch 3]",
    )
    assert in_order("hypercore11-keepalives", f"{said}keepalive")
    assert in_order("hypercore11-no-common-drive", f"{said}Reject channel=1")


def test_facts_that_the_trace_lacks_are_not_listed() -> None:
    lines = list(listing(load("hypercore9-largest")))
    assert (
        "the trace has only a digest of these bytes, so the messages from here on are unknown"
        in "\n".join(lines)
    )
    assert "payload='AAAA" in "\n".join(lines)
    assert max(map(len, lines)) < 300


def test_without_secrets_only_the_entries_are_listed() -> None:
    trace = attrs.evolve(load("hypercore9-chat"), secrets={})
    assert len(list(listing(trace))) == 3 + len(trace.entries)


def test_wrong_secrets() -> None:
    trace = load("hypercore9-chat")
    secrets = attrs.evolve(trace.secrets["initiator"], ephemeral=bytes([1]) * 32)
    lines = list(listing(attrs.evolve(trace, secrets={"initiator": secrets})))
    assert len([line for line in lines if "the bytes of the responder cannot be read" in line]) == 1


def test_payloads_cannot_control_a_terminal() -> None:
    payload = "\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}".encode()
    report = MessageReport("initiator", None, "\x1b", payload)
    *_, line = listing(attrs.evolve(load("hypercore9-chat"), entries=[report]))
    assert line == f"initiator  event message name='\\x1b' payload={payload.hex()}"
