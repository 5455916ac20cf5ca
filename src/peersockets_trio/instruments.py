"""`Instrument`: what a program implements to watch a node at work, in the style of trio's instruments."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from peersockets_core import DriveKey, PeerJoined, PeerLeft, WireName

from .info import ConnectionInfo

logger = logging.getLogger("peersockets.instruments")


class Instrument:
    """Base of instruments: override what is of interest, and give it to `open_node(instruments=[...])`.

    The methods are called in the middle of the node's work: they must not block, await, or call the node.
    An instrument that raises is removed, and logged with its traceback; the node goes on.
    """

    def connection_opened(self, info: ConnectionInfo) -> None:
        """A handshake is finished and the remote admitted, whoever dialled."""

    def connection_closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        """Such a connection has ended, with `unsent` bytes of messages that had been accepted for sending.

        `reason` is for people; empty where either side closed in good order.
        """

    def connection_failed(
        self, address: tuple[str, int] | None, wire: WireName | None, error: Exception
    ) -> None:
        """No connection has come about: nobody answers, the handshake fails, or the remote is refused.

        `address` is None on a stream that was attached, `wire` where nothing has told it yet.
        """

    def peer_joined(self, drive_key: DriveKey, event: PeerJoined) -> None:
        """A peer has become a member of a drive that is open here."""

    def peer_left(self, drive_key: DriveKey, event: PeerLeft) -> None:
        """A peer is no longer a member: it has left, or the drive was closed here."""

    def retrying(self, address: tuple[str, int], seconds: float, error: Exception | None) -> None:
        """A kept connection is dialled again in so many seconds.

        `error` is what the last dialling failed with, None where it is a connection that has ended.
        """

    def topic_announced(self, topic: bytes, nodes: int) -> None:
        """So many nodes of the DHT keep our announcement under a topic; again with each renewal."""

    def peer_found(self, topic: bytes, public_key: bytes) -> None:
        """A peer of a topic was found in the DHT for the first time."""

    def data_received(self, info: ConnectionInfo, size: int) -> None:
        """So many bytes were read from a connection, at once. What belongs to the handshake is not told."""

    def data_sent(self, info: ConnectionInfo, size: int) -> None:
        """So many bytes were written to a connection, at once."""


class Instruments:
    """The instruments of one node; false if there are none."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Raises `TypeError` for what is no `Instrument`."""
        self._instruments = list(instruments)
        for instrument in self._instruments:
            if not isinstance(instrument, Instrument):
                raise TypeError(f"instruments must be Instruments, not {type(instrument).__name__}")

    def __bool__(self) -> bool:
        return bool(self._instruments)

    def add(self, instrument: Instrument) -> None:
        """Call one more."""
        self._instruments.append(instrument)

    def remove(self, instrument: Instrument) -> None:
        """Call one no longer, if it is here."""
        if instrument in self._instruments:
            self._instruments.remove(instrument)

    def call(self, hook: str, *arguments: object) -> None:
        """Call a method of each."""
        for instrument in self._instruments.copy():
            try:
                getattr(instrument, hook)(*arguments)
            except Exception:
                self._instruments.remove(instrument)
                logger.exception("instrument %r is removed: its %s has raised", instrument, hook)
