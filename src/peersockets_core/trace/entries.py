"""What a trace consists of: a header with the secrets, then what each side sent, read, was told and told.

Each class of entries says by its fields how it is written; `format` reads that. The meaning for other
implementations is in docs/traces.md.
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
"""How far another implementation's output can equal the recording, given the same secrets and commands:
in every byte; or in the handshake's bytes and the sequence of messages, those about a drive's data and its
transport left out; or the same, but with the order left open between channels."""

SIDES: Final[tuple[Side, ...]] = get_args(Side)
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)
MAX_PAYLOAD: Final = 1 << 24
"""Bytes of the largest payload that is written down as the repetition of one byte: no wire carries more."""


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
    """What one side drew at random. Given these, its bytes are determined."""

    seed: bytes = _secret(32)
    """Of its identity: `KeyPair.from_seed`."""
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
    """Stands for bytes that are too many to keep: who plays their sender can make them again."""

    size: int = _count()
    blake2b: bytes = _bytes(32)
    """BLAKE2b-256 of them."""


@attrs.frozen
class Entry:
    """Something that happened at one side."""

    kind: ClassVar[tuple[str, str | None]]
    """The key that tells the class, and its value where that is a name."""

    side: Side = attrs.field(validator=attrs.validators.in_(SIDES))


@attrs.frozen
class Sent(Entry):
    """The side wrote these bytes to the stream."""

    kind = ("sent", None)
    sent: bytes | Digest = attrs.field(validator=attrs.validators.instance_of((bytes, Digest)))

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.sent.size if isinstance(self.sent, Digest) else len(self.sent)


@attrs.frozen
class Received(Entry):
    """The side read the next so many bytes of what the other one sent."""

    kind = ("received", None)
    received: int = _count()


@attrs.frozen
class Ended(Entry):
    """The side read the end of the stream."""

    kind = ("ended", None)
    ended: bool = attrs.field(default=True, validator=attrs.validators.in_((True,)))


@attrs.frozen
class Command(Entry):
    """What the application at the side asked for."""


@attrs.frozen
class OpenDrive(Command):
    """Open a drive, or any other core."""

    kind = ("command", "open")
    key: bytes = _secret(32)


@attrs.frozen
class CloseDrive(Command):
    """Close a drive that is open at this side."""

    kind = ("command", "close")
    discovery_key: bytes = _bytes(32)


@attrs.frozen
class Register(Command):
    """Listen to an extension's messages; on hypercore11, those of any drive."""

    kind = ("command", "register")
    name: str = _text()


@attrs.frozen
class Unregister(Command):
    """Listen no longer."""

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
    """Send the frame that says nothing, as a timer would have."""

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
    """What the side reported to the application."""


@attrs.frozen
class HandshakeReport(Report):
    """The stream is secured."""

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
    """Whether because of something that the remote did wrong."""


ENTRIES: Final[tuple[type[Entry], ...]] = (
    Sent, Received, Ended,
    OpenDrive, CloseDrive, Register, Unregister, Send, Keepalive, End, Kill,
    HandshakeReport, OpenReport, CloseReport, MessageReport, ClosedReport,
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Trace:
    """One recorded session."""

    wire: WireName = attrs.field(validator=attrs.validators.in_(get_args(WireName)))
    shows: str = _text()
    """What this session is there to show, in a sentence or two."""
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
    """Of both sides, or of the one that they are known of."""
    entries: list[Entry] = attrs.field(factory=list)
    """In the order in which they happened, as far as that can be told: only the order at one side is
    exact, and that bytes are sent before they are received."""


def reports(side: Side, event: Event) -> Iterator[Report]:
    """What a trace says of an event at `side`: one report, or one for each message."""
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
