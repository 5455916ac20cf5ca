"""The contents of a trace: a header with the secrets, then the bytes, commands and reports of each side.

The fields of an entry class define its form in the file; `format` derives that form from them.
docs/traces.md explains the meaning to other implementations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import attrs

from ..events import (
    DriveClosed,
    DriveOpened,
    Event,
    HandshakeCompleted,
    MessagesReceived,
    WireName,
)
from ..keys import Entropy
from ..secret import as_secret

Side: TypeAlias = Literal["initiator", "responder"]
"""The two ends of the stream."""

Comparison: TypeAlias = Literal["bytes", "messages", "channels"]
"""The extent to which another implementation's output equals the recording, given the same secrets and
commands. "bytes": every byte. "messages": the handshake's bytes and the sequence of messages, without
messages about a drive's data and its transport. "channels": the same, but only the order within each channel
counts."""

SIDES: Final[tuple[Side, ...]] = get_args(Side)
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)
MAX_PAYLOAD: Final = 1 << 24
"""Size in bytes of the largest payload that is written as the repetition of one byte; no wire carries
more."""


def _check_bytes(size: int | None = None) -> Any:
    def check(_: object, attribute: attrs.Attribute[bytes], value: bytes) -> None:
        if not isinstance(value, bytes):
            raise TypeError(f"{attribute.name} must be bytes, not {type(value).__name__}")
        if size is not None and len(value) != size:
            raise ValueError(f"{attribute.name} must be {size} bytes, not {len(value)}")

    return check


def _bytes(size: int | None = None) -> Any:
    return attrs.field(validator=_check_bytes(size))


def _secret(size: int) -> Any:
    return attrs.field(converter=as_secret, validator=_check_bytes(size))


def _optional_bytes(size: int) -> Any:
    return attrs.field(validator=attrs.validators.optional(_check_bytes(size)))


def _text() -> Any:
    return attrs.field(validator=attrs.validators.instance_of(str))


def _count() -> Any:
    return attrs.field(validator=(attrs.validators.instance_of(int), attrs.validators.ge(0)))


def _flag() -> Any:
    return attrs.field(validator=attrs.validators.instance_of(bool))


@attrs.frozen
class Secrets:
    """The random values that one side drew. They determine every byte that it sends."""

    seed: bytes = _secret(32)
    """The seed of the side's identity, as for `KeyPair.from_seed`."""
    ephemeral: bytes = _secret(32)
    """hypercore9: the ephemeral secret key. hypercore11: the seed of the ephemeral key pair."""
    nonce: bytes = _secret(24)
    """hypercore9: the nonce in its handshake payload. hypercore11: the header of its secretstream."""

    def entropy(self) -> Entropy:
        """Return the source for a `Connection` that plays this side."""
        drawn = iter((self.ephemeral, self.nonce))

        def take(size: int) -> bytes:
            secret = next(drawn)
            assert len(secret) == size
            return secret

        return take


@attrs.frozen
class Digest:
    """Replaces a chunk that is too large to keep; playing the sending side yields its bytes again."""

    size: int = _count()
    blake2b: bytes = _bytes(32)
    """BLAKE2b-256 of the bytes."""


@attrs.frozen
class Entry:
    """An event at one side."""

    kind: ClassVar[tuple[str, str | None]]
    """The key that identifies the class, and the key's value if that value is a name."""

    side: Side = attrs.field(validator=attrs.validators.in_(SIDES))


@attrs.frozen
class Sent(Entry):
    """The side wrote these bytes to the stream."""

    kind = ("sent", None)
    sent: bytes | Digest = attrs.field(validator=attrs.validators.instance_of((bytes, Digest)))

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.sent.size if isinstance(self.sent, Digest) else len(self.sent)


@attrs.frozen
class Received(Entry):
    """The side read this many more bytes of the other side's output."""

    kind = ("received", None)
    received: int = _count()


@attrs.frozen
class Ended(Entry):
    """The side read the end of the stream."""

    kind = ("ended", None)
    ended: bool = attrs.field(default=True, validator=attrs.validators.in_((True,)))


@attrs.frozen
class Command(Entry):
    """A request of the application at the side."""


@attrs.frozen
class OpenCommand(Command):
    """Open a drive, or any other core."""

    kind = ("command", "open")
    key: bytes = _secret(32)


@attrs.frozen
class CloseCommand(Command):
    """Close a drive that is open at this side."""

    kind = ("command", "close")
    discovery_key: bytes = _bytes(32)


@attrs.frozen
class Register(Command):
    """Listen to an extension's messages; on hypercore11, to those of every drive."""

    kind = ("command", "register")
    name: str = _text()


@attrs.frozen
class Unregister(Command):
    """Stop listening to an extension's messages."""

    kind = ("command", "unregister")
    name: str = _text()


@attrs.frozen
class Send(Command):
    """Send one message."""

    kind = ("command", "send")
    discovery_key: bytes | None = _optional_bytes(32)
    """The drive whose channel carries it; None on hypercore9."""
    name: str = _text()
    payload: bytes = _bytes()


@attrs.frozen
class Keepalive(Command):
    """Send an empty frame, as the keepalive timer does."""

    kind = ("command", "keepalive")


@attrs.frozen
class End(Command):
    """End the connection in good order."""

    kind = ("command", "end")


@attrs.frozen
class Kill(Command):
    """Cut the stream, as when a process dies."""

    kind = ("command", "kill")


@attrs.frozen
class Report(Entry):
    """A report to the application at the side."""


@attrs.frozen
class HandshakeReport(Report):
    """The handshake is complete and the stream is encrypted."""

    kind = ("event", "handshake")
    remote_public_key: bytes = _bytes(32)
    handshake_hash: bytes = _bytes(64)


@attrs.frozen
class OpenReport(Report):
    """Both sides have the drive open, and the remote has proved that it knows the key."""

    kind = ("event", "open")
    discovery_key: bytes = _bytes(32)


@attrs.frozen
class CloseReport(Report):
    """The remote closed a drive that both had open."""

    kind = ("event", "close")
    discovery_key: bytes = _bytes(32)


@attrs.frozen
class MessageReport(Report):
    """A message for an extension that was registered."""

    kind = ("event", "message")
    discovery_key: bytes | None = _optional_bytes(32)
    name: str = _text()
    payload: bytes = _bytes()


@attrs.frozen
class ClosedReport(Report):
    """The connection has ended."""

    kind = ("event", "closed")
    fault: bool = _flag()
    """Whether it ended because the remote broke the protocol."""


ENTRIES: Final[tuple[type[Entry], ...]] = (
    Sent, Received, Ended,
    OpenCommand, CloseCommand, Register, Unregister, Send, Keepalive, End, Kill,
    HandshakeReport, OpenReport, CloseReport, MessageReport, ClosedReport,
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Trace:
    """One recorded session."""

    wire: WireName = attrs.field(validator=attrs.validators.in_(get_args(WireName)))
    shows: str = _text()
    """The purpose of this session, in a sentence or two."""
    produced_by: dict[str, str] = attrs.field(
        validator=attrs.validators.deep_mapping(
            attrs.validators.instance_of(str), attrs.validators.instance_of(str)
        )
    )
    """The programs that played the sides, with their versions."""
    comparison: Comparison = attrs.field(validator=attrs.validators.in_(COMPARISONS))
    secrets: dict[Side, Secrets] = attrs.field(
        validator=attrs.validators.deep_mapping(
            attrs.validators.in_(SIDES), attrs.validators.instance_of(Secrets)
        )
    )
    """The secrets of both sides, or of the only side whose secrets are known."""
    entries: list[Entry] = attrs.field(factory=list)
    """The entries in the order of their occurrence. That order is exact for each side alone; between
    the sides it only ensures that bytes are sent before they are received."""


def reports(side: Side, event: Event) -> Iterator[Report]:
    """Yield the trace's reports of an event at `side`: one report, or one for each message."""
    match event:
        case HandshakeCompleted():
            yield HandshakeReport(side, event.remote_public_key, event.handshake_hash)
        case DriveOpened():
            yield OpenReport(side, event.discovery_key)
        case DriveClosed():
            yield CloseReport(side, event.discovery_key)
        case MessagesReceived():
            for payload in event.payloads:
                yield MessageReport(side, event.discovery_key, event.name, payload)
        case _:
            yield ClosedReport(side, event.error is not None)
