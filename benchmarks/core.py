"""The state machine alone: two connections in one process, no sockets and no tasks."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

import attrs

from peersockets_core import WIRES, Connection, DriveKey, KeyPair, WireName
from peersockets_core.topics.naming import addresses

KEY = DriveKey(bytes(32))
SIZES = (16, 64, 1024, 16 * 1024, 256 * 1024, 1024 * 1024)
FLIGHT = 1024 * 1024
"""Bytes that are queued before they are taken: as many as the adapter's high-water mark allows."""
READ_SIZE = 128 * 1024


@attrs.frozen
class CoreRow:
    """The work of one side of the machine with messages of one size, on one wire."""

    wire: str
    size: int
    sent: float
    """Messages a second, through `send` and `data_to_send`."""
    received: float
    """Messages a second, through `receive_data`."""


def measure(rounds: int, flights: int) -> Iterator[CoreRow]:
    """Measure every wire and size."""
    for wire in WIRES:
        for size in SIZES:
            rates = [_rates(wire, size, flights) for _ in range(rounds)]
            sent, received = (statistics.median(each) for each in zip(*rates, strict=True))
            yield CoreRow(wire, size, sent, received)


def connected_pair(wire: WireName) -> tuple[Connection, Connection]:
    """Two connections that have finished their handshake and have the drive and the topic open."""
    pair = [
        Connection(
            wire=wire,
            initiator=initiator,
            key_pair=KeyPair.generate(os.urandom),
            entropy=os.urandom,
            now=0,
        )
        for initiator in (True, False)
    ]
    for connection in pair:
        connection.extensions.register(addresses(KEY.discovery_key, "bench", "drive")[wire][1])
        connection.open_drive(KEY)
    first, second = pair
    while first.has_output or second.has_output:
        second.receive_data(bytes(first.data_to_send()), 0)
        first.receive_data(bytes(second.data_to_send()), 0)
    return first, second


def _rates(wire: WireName, size: int, flights: int) -> tuple[float, float]:
    sending, receiving = connected_pair(wire)
    send = sending.sender(*addresses(KEY.discovery_key, "bench", "drive")[wire]).send
    message = bytes(size)
    count = max(1, FLIGHT // (size + 4))
    sent_seconds = received_seconds = 0.0
    for _ in range(flights):
        start = time.perf_counter()
        for _ in range(count):
            send(message)
        data = bytes(sending.data_to_send())
        sent_seconds += time.perf_counter() - start
        reads = [data[position : position + READ_SIZE] for position in range(0, len(data), READ_SIZE)]
        start = time.perf_counter()
        for read in reads:
            receiving.receive_data(read, 0)
        received_seconds += time.perf_counter() - start
    return flights * count / sent_seconds, flights * count / received_seconds
