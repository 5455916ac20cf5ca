"""`Reporter`: where a node tells what it does, to the log, to instruments and to its counters.

Loggers: `peersockets.connection` and `peersockets.drive` have a line an event at INFO; `peersockets.frames`
one a read and one a write at DEBUG. Secrets (seeds, secret keys, drive keys) and messages are never written;
a drive is named by the beginning of its discovery key.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable
from typing import Final

from peersockets_core import (
    Address,
    DriveClosed,
    DriveKey,
    DriveOpened,
    Event,
    MessagesReceived,
    PeerEvent,
    PeerJoined,
    WireName,
)

from ..info import ConnectionInfo
from ..instruments import Instrument, Instruments

connection_logger = logging.getLogger("peersockets.connection")
drive_logger = logging.getLogger("peersockets.drive")
swarm_logger = logging.getLogger("peersockets.swarm")
frames_logger = logging.getLogger("peersockets.frames")

EXHAUSTED_INTERVAL: Final = 60.0
"""Seconds between two lines about descriptors that have run out."""


class Reporter:
    """What one node tells."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._instruments = Instruments(instruments)
        self.bytes_received = 0
        self.bytes_sent = 0
        self._exhausted_again = -math.inf

    def add(self, instrument: Instrument) -> None:
        """Report to one more instrument."""
        self._instruments.add(instrument)

    def remove(self, instrument: Instrument) -> None:
        """Report to an instrument no longer."""
        self._instruments.remove(instrument)

    # The swarm

    def announced(self, topic: bytes, nodes: int) -> None:
        """Nodes of the DHT keep our announcement."""
        swarm_logger.info("announced: topic %s at %d nodes", topic.hex(), nodes)
        if self._instruments:
            self._instruments.call("topic_announced", topic, nodes)

    def found(self, topic: bytes, public_key: bytes) -> None:
        """A peer was found in the DHT."""
        swarm_logger.info("found: key %s under topic %s", public_key.hex(), topic.hex())
        if self._instruments:
            self._instruments.call("peer_found", topic, public_key)

    # Connections

    def listening(self, address: Address) -> None:
        """A listener is open."""
        connection_logger.info("listening: %s", _place(address))

    def exhausted(self, error: OSError, now: float) -> None:
        """No connection can be accepted for want of descriptors: this is logged once a minute at most."""
        if now >= self._exhausted_again:
            self._exhausted_again = now + EXHAUSTED_INTERVAL
            connection_logger.warning("cannot accept connections: %s", error.strerror)

    def opened(self, info: ConnectionInfo) -> None:
        """A connection's remote has been admitted."""
        connection_logger.info("connected: %s", _name(info))
        if self._instruments:
            self._instruments.call("connection_opened", info)

    def closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        """Such a connection has ended."""
        level = logging.WARNING if unsent else logging.INFO
        text = "disconnected: %s: %s (%d bytes unsent)"
        connection_logger.log(level, text, _name(info), reason or "closed", unsent)
        if self._instruments:
            self._instruments.call("connection_closed", info, reason, unsent)

    def failed(
        self, address: Address | None, wire: WireName | None, public_key: bytes | None, error: Exception
    ) -> None:
        """A connection has not come about."""
        key = f", key {public_key.hex()}" if public_key is not None else ""
        text = "failed: %s on %s%s: %s"
        connection_logger.info(text, _place(address), wire or "no wire", key, explain(error))
        if self._instruments:
            self._instruments.call("connection_failed", address, wire, error)

    def retrying(self, address: Address, wire: WireName, seconds: float, error: Exception | None) -> None:
        """A kept connection is going to be dialled again."""
        reason = "it has ended" if error is None else explain(error)
        text = "retrying: %s on %s in %.1f seconds: %s"
        connection_logger.info(text, _place(address), wire, seconds, reason)
        if self._instruments:
            self._instruments.call("retrying", address, seconds, error)

    # Bytes: called once for each read and each write

    def received(
        self, address: Address | None, info: ConnectionInfo | None, size: int, events: list[Event]
    ) -> None:
        """A read has brought so many bytes, and they these events."""
        self.bytes_received += size
        if frames_logger.isEnabledFor(logging.DEBUG):
            frames_logger.debug("received %d bytes from %s: %s", size, _place(address), _list(events))
        if self._instruments and info is not None:
            self._instruments.call("data_received", info, size)

    def went_on(self, address: Address | None, events: list[Event]) -> None:
        """More of what a read has brought has been worked through, and caused these events."""
        if frames_logger.isEnabledFor(logging.DEBUG):
            frames_logger.debug("went on with what %s has sent: %s", _place(address), _list(events))

    def sent(self, address: Address | None, info: ConnectionInfo | None, size: int, messages: int) -> None:
        """A write has taken so many bytes, so many of them messages' before encryption."""
        self.bytes_sent += size
        if frames_logger.isEnabledFor(logging.DEBUG):
            frames_logger.debug("sent %d bytes to %s: %d of messages", size, _place(address), messages)
        if self._instruments and info is not None:
            self._instruments.call("data_sent", info, size)

    # Members

    def member(self, key: DriveKey, event: PeerEvent) -> None:
        """A peer has joined or left a drive."""
        who = f"peer {event.peer_id} of drive {key} on {event.wire}, key {event.public_key.hex()}"
        if isinstance(event, PeerJoined):
            hook = "peer_joined"
            drive_logger.info("joined: %s", who)
        else:
            hook = "peer_left"
            drive_logger.info("left: %s: %s (%d bytes unsent)", who, event.reason or "closed", event.unsent)
        if self._instruments:
            self._instruments.call(hook, key, event)


def explain(error: BaseException) -> str:
    """Say in one line why something failed, with the system's reason where there is one."""
    # trio.open_tcp_stream tells which address failed, and has the reason as its cause.
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and cause.errno is not None:
        return f"{error}: {os.strerror(cause.errno)}"
    return str(error)


def _place(address: Address | None) -> str:
    return "a stream" if address is None else str(Address(*address))


def _name(info: ConnectionInfo) -> str:
    return f"{_place(info.address)} on {info.wire}, key {info.public_key.hex()}"


def _list(events: list[Event]) -> str:
    return ", ".join(map(_describe, events)) or "nothing complete"


def _describe(event: Event) -> str:
    kind = type(event).__name__
    match event:
        case MessagesReceived():
            # The name may be a remote's invention: it is shown as text that cannot break the line.
            size = sum(map(len, event.payloads))
            return f"{kind} {event.name[:80]!a}, {len(event.payloads)} of {size} bytes"
        case DriveOpened() | DriveClosed():
            return f"{kind} {event.discovery_key.hex()}"
    return kind
