"""`Telemetry`: reports the work of a node to the log, to instruments and to its counters.

Loggers: `peersockets.connection` and `peersockets.drive` write a line for each event at level INFO;
`peersockets.frames` writes a line for each read and each write at DEBUG. Secrets (seeds, secret keys, drive
keys) and messages are never written; a drive appears as the beginning of its discovery key.
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
from peersockets_core.info import ConnectionInfo

from ..instruments import Instrument, Instruments

connection_logger = logging.getLogger("peersockets.connection")
drive_logger = logging.getLogger("peersockets.drive")
swarm_logger = logging.getLogger("peersockets.swarm")
frames_logger = logging.getLogger("peersockets.frames")

EXHAUSTED_INTERVAL: Final = 60.0
"""Seconds between two log lines about exhausted descriptors."""


class Telemetry:
    """The reports of one node."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._instruments = Instruments(instruments)
        self.bytes_received = 0
        self.bytes_sent = 0
        self._exhausted_again = -math.inf

    def add(self, instrument: Instrument) -> None:
        """Report to one more instrument."""
        self._instruments.add(instrument)

    def remove(self, instrument: Instrument) -> None:
        """Stop reporting to an instrument."""
        self._instruments.remove(instrument)

    # The swarm

    def announced(self, topic: bytes, nodes: int) -> None:
        """Report that nodes of the DHT keep our announcement."""
        swarm_logger.info("announced: topic %s at %d nodes", topic.hex(), nodes)
        if self._instruments:
            self._instruments.call("topic_announced", topic, nodes)

    def found(self, topic: bytes, public_key: bytes) -> None:
        """Report a peer that was found in the DHT."""
        swarm_logger.info("found: key %s under topic %s", public_key.hex(), topic.hex())
        if self._instruments:
            self._instruments.call("peer_found", topic, public_key)

    # Connections

    def listening(self, address: Address) -> None:
        """Report an open listener."""
        connection_logger.info("listening: %s", _place(address))

    def exhausted(self, error: OSError, now: float) -> None:
        """Report that no connection can be accepted for lack of descriptors, at most once a minute."""
        if now >= self._exhausted_again:
            self._exhausted_again = now + EXHAUSTED_INTERVAL
            connection_logger.warning("cannot accept connections: %s", error.strerror)

    def opened(self, info: ConnectionInfo) -> None:
        """Report that a connection's remote was admitted."""
        connection_logger.info("connected: %s", _name(info))
        if self._instruments:
            self._instruments.call("connection_opened", info)

    def closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        """Report the end of an admitted connection."""
        level = logging.WARNING if unsent else logging.INFO
        text = "disconnected: %s: %s (%d bytes unsent)"
        connection_logger.log(level, text, _name(info), reason or "closed", unsent)
        if self._instruments:
            self._instruments.call("connection_closed", info, reason, unsent)

    def failed(
        self, address: Address | None, wire: WireName | None, public_key: bytes | None, error: Exception
    ) -> None:
        """Report a failed connection attempt."""
        key = f", key {public_key.hex()}" if public_key is not None else ""
        text = "failed: %s on %s%s: %s"
        connection_logger.info(text, _place(address), wire or "no wire", key, explain(error, address))
        if self._instruments:
            self._instruments.call("connection_failed", address, wire, error)

    def retrying(self, address: Address, wire: WireName, seconds: float, error: Exception | None) -> None:
        """Report that a kept connection will be dialled again."""
        reason = "it has ended" if error is None else explain(error, address)
        text = "retrying: %s on %s in %.1f seconds: %s"
        connection_logger.info(text, _place(address), wire, seconds, reason)
        if self._instruments:
            self._instruments.call("retrying", address, seconds, error)

    # Bytes: called once for each read and each write

    def received(
        self, address: Address | None, info: ConnectionInfo | None, size: int, events: list[Event]
    ) -> None:
        """Report a read of `size` bytes, and the events that it caused."""
        self.bytes_received += size
        if frames_logger.isEnabledFor(logging.DEBUG):
            frames_logger.debug("received %d bytes from %s: %s", size, _place(address), _list(events))
        if self._instruments and info is not None:
            self._instruments.call("data_received", info, size)

    def went_on(self, address: Address | None, events: list[Event]) -> None:
        """Report the events that further input of an earlier read has caused."""
        if frames_logger.isEnabledFor(logging.DEBUG):
            frames_logger.debug("continued with input from %s: %s", _place(address), _list(events))

    def sent(self, address: Address | None, info: ConnectionInfo | None, size: int, messages: int) -> None:
        """Report a write of `size` bytes; `messages` is the size of the messages in it before encryption."""
        self.bytes_sent += size
        if frames_logger.isEnabledFor(logging.DEBUG):
            frames_logger.debug("sent %d bytes to %s: %d of messages", size, _place(address), messages)
        if self._instruments and info is not None:
            self._instruments.call("data_sent", info, size)

    # Members

    def member(self, key: DriveKey, event: PeerEvent) -> None:
        """Report a peer that has joined or left a drive."""
        who = f"peer {event.peer_id} of drive {key} on {event.wire}, key {event.public_key.hex()}"
        if isinstance(event, PeerJoined):
            hook = "peer_joined"
            drive_logger.info("joined: %s", who)
        else:
            hook = "peer_left"
            drive_logger.info("left: %s: %s (%d bytes unsent)", who, event.reason or "closed", event.unsent)
        if self._instruments:
            self._instruments.call(hook, key, event)


def explain(error: BaseException, address: Address | None = None) -> str:
    """Return a one-line reason for a failure, with the system's reason if there is one.

    With the `address` that the caller shows beside it, the reason does not repeat it.
    """
    text = str(error)
    # The error of trio.open_tcp_stream names the address; its cause has the reason.
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno is not None else None
    if address is not None:
        if reason is not None and text == f"all attempts to connect to {address} failed":
            return reason
        text = text.removeprefix(f"{address} ")
    return text if reason is None else f"{text}: {reason}"


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
            # The remote chooses the name, so escape it to keep it from breaking the line.
            size = sum(map(len, event.payloads))
            return f"{kind} {event.name[:80]!a}, {len(event.payloads)} of {size} bytes"
        case DriveOpened() | DriveClosed():
            return f"{kind} {event.discovery_key.hex()}"
    return kind
