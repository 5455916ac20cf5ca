"""`Instrument`: a base class for programs that observe a node at work, in the style of Trio's instruments."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from peersockets_core import DriveKey, PeerJoined, PeerLeft, WireName
from peersockets_core.info import ConnectionInfo

logger = logging.getLogger("peersockets.instruments")


class Instrument:
    """The base class of instruments. Override the methods of interest, and pass instances to
    `open_node(instruments=[...])`.

    The node calls the methods in the middle of its work, so they must not block, await, or call the node.
    If an instrument raises, the node removes it, logs the traceback, and continues.
    """

    def connection_opened(self, info: ConnectionInfo) -> None:
        """A handshake is finished and the remote is admitted, no matter which side dialled."""

    def connection_closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        """An admitted connection has ended. `unsent` bytes of messages were accepted for sending but did not
        leave.

        `reason` is for people; it is empty if either side closed in good order.
        """

    def connection_failed(
        self, address: tuple[str, int] | None, wire: WireName | None, error: Exception
    ) -> None:
        """A connection attempt has failed: no host answers, the handshake fails, or the remote is refused.

        `address` is None for an attached stream. `wire` is None if it is not known yet.
        """

    def peer_joined(self, drive_key: DriveKey, event: PeerJoined) -> None:
        """A peer has become a member of a drive that is open here."""

    def peer_left(self, drive_key: DriveKey, event: PeerLeft) -> None:
        """A peer is no longer a member: it has left, or the drive was closed here."""

    def retrying(self, address: tuple[str, int], seconds: float, error: Exception | None) -> None:
        """A kept connection will be dialled again in `seconds`.

        `error` is the error of the last dial, or None if a connection has ended.
        """

    def topic_announced(self, topic: bytes, nodes: int) -> None:
        """`nodes` nodes of the DHT keep our announcement under a topic. The call repeats with each
        renewal.
        """

    def peer_found(self, topic: bytes, public_key: bytes) -> None:
        """A peer of a topic was found in the DHT for the first time."""

    def data_received(self, info: ConnectionInfo, size: int) -> None:
        """A single read of a connection returned `size` bytes. Bytes of the handshake are not reported."""

    def data_sent(self, info: ConnectionInfo, size: int) -> None:
        """A single write to a connection took `size` bytes."""


class Instruments:
    """The instruments of one node. The object is false if there are none."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Raises `TypeError` if an item is not an `Instrument`."""
        self._instruments = list(instruments)
        for instrument in self._instruments:
            if not isinstance(instrument, Instrument):
                raise TypeError(f"instruments must be Instruments, not {type(instrument).__name__}")

    def __bool__(self) -> bool:
        return bool(self._instruments)

    def add(self, instrument: Instrument) -> None:
        """Add an instrument."""
        self._instruments.append(instrument)

    def remove(self, instrument: Instrument) -> None:
        """Remove an instrument, if it is here."""
        if instrument in self._instruments:
            self._instruments.remove(instrument)

    def call(self, hook: str, *arguments: object) -> None:
        """Call a method of every instrument."""
        for instrument in self._instruments.copy():
            try:
                getattr(instrument, hook)(*arguments)
            except Exception:
                self._instruments.remove(instrument)
                logger.exception("instrument %r is removed: its %s has raised", instrument, hook)
