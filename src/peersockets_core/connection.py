"""`Connection`: one stream's state machine, whatever the wire, and the boundary where errors are sorted.

Feed it what the stream delivers and the time; send what it hands over; when its next deadline has come, read
what has arrived, and then call `handle_deadline`. Time is any monotonic clock in seconds.
"""

from __future__ import annotations

import math
from typing import Generic, cast

from .crypto.sodium import Buffer
from .errors import LocalProtocolError, Refused, RemoteProtocolError, UnexpectedKey
from .events import ConnectionClosed, Event, HandshakeCompleted, WireName
from .keys import DriveKey, Entropy, KeyPair, parse_public_key
from .lateness import LATENESS, absence
from .limits import DEFAULT_LIMITS, Limits
from .outbox import Outbox
from .owners import C_co
from .wires.extensions import ExtensionNames
from .wires.hypercore11.protomux import Mux
from .wires.keys import Keys
from .wires.table import KINDS, WIRES, Undecided, detect_untrusted
from .wires.wire import Sender, Wire, WireSetup
from .work import UNBOUNDED, Work


class Connection(Generic[C_co]):
    """One secured stream to one remote public key."""

    def __init__(
        self,
        *,
        wire: WireName | None = None,
        initiator: bool,
        key_pair: KeyPair,
        entropy: Entropy,
        now: float,
        limits: Limits = DEFAULT_LIMITS,
        extensions: ExtensionNames | None = None,
        expect: bytes | None = None,
        hold: bool = False,
        keys: Keys | None = None,
    ) -> None:
        """Begin a handshake; an initiator has output at once.

        With the `keys` of a handshake that has passed elsewhere, as in HyperDHT, the stream is secured from
        its first byte on (hypercore11 only), and the first bytes of the remote complete the handshake.

        A responder may leave the wire to be told from the first bytes. `extensions` may be shared by
        many connections, and is a table of its own if not given. A remote that proves another key than
        `expect` ends the connection with `UnexpectedKey`. With `hold`, the connection stands still after
        `HandshakeCompleted` until `admit`: nothing of the remote is looked at, and nothing but the
        handshake is told to it. Raises `ValueError` for an unknown wire, an initiator without one, or an
        `expect` that is no key.
        """
        if wire not in WIRES and (initiator or wire is not None):
            raise ValueError(f"wire must be one of {', '.join(WIRES)}, not {wire!r}")
        if expect is not None:
            parse_public_key(expect, "expect")
        if keys is not None and (wire is None or not KINDS[wire].takes_keys):
            able = ", ".join(name for name, kind in KINDS.items() if kind.takes_keys)
            raise ValueError(f"keys need the wire {able}, not {wire!r}")
        self.wire: WireName | None = None
        """The wire in use; None as long as the first bytes have not told."""
        self.initiator = initiator
        self.key_pair = key_pair
        """Our identity."""
        self.extensions = ExtensionNames() if extensions is None else extensions
        """The stream extensions registered here; messages of others are discarded."""
        self.remote_public_key: bytes | None = None
        """The remote's proved key, once the handshake is finished."""
        self.on_hold = False
        """Whether the remote waits for `admit`."""
        self.owner = cast(C_co, None)
        """The object that moves this connection's bytes; None until the program around the core sets it."""
        self.closed = False
        self.error: RemoteProtocolError | Refused | None = None
        """What the peer did wrong, or why we do not want it, where that closed the connection."""
        self.limits = limits
        """The bounds that the remote can push against."""
        self._entropy = entropy
        self._drives: dict[bytes, DriveKey] = {}
        self._expected = expect
        self._hold = hold
        self._admitted = False
        self._held = bytearray()
        self.outbox = Outbox(room=limits.send_buffer, reply_limit=limits.replies)
        """What is queued; its `size` is what back pressure looks at."""
        self._work = Work()
        self._wire: Wire = Undecided()
        if wire is not None:
            self._begin(wire, keys)
        self.began = now
        """When it began."""
        self.established_at = math.inf
        """From when we know that both sides have finished the handshake; infinity before."""
        self.heard_at = now
        """When the remote was last heard."""
        self._now = now
        self._handshake_deadline = now + limits.handshake_time
        self._listening_since = now
        self._last_sent = now
        self._waiting_since = math.inf  # output that the stream does not take
        self._reading = True
        self._spoken = False
        self._frame = 0
        self._frame_began = now

    def receive_data(self, data: Buffer, now: float, budget: int | None = None) -> list[Event]:
        """Take what the stream delivered; returns the events it caused, in order.

        What may be written to, such as a buffer that is read into again and again, is decrypted where it
        lies; nothing of it is kept. A peer's fault comes as the last event, a `ConnectionClosed` with the
        error. Never raises for what the data holds. Data for a closed connection is ignored.

        A remote chooses how much work its bytes are. With a `budget`, no more is done than so many items of
        `peersockets_core.work`, and the last of them; what is left is copied, and waits. As long as
        `has_input`, give other connections their turn, read no further, and call this again with no data.
        Whatever else comes first, nothing is lost: data goes behind what waits, and without a budget, or at
        the end of the stream, everything is worked through.

        Raises `ValueError` for a view that is not contiguous, or a budget that is not positive.
        """
        if isinstance(data, memoryview):
            if not data.c_contiguous:
                raise ValueError("data must be bytes, or a contiguous view of them")
            data = data.cast("B")
        self._begin_slice(budget)
        self._tell_time(now)
        if self.closed:
            return []
        self.heard_at = self._now
        events: list[Event] = []
        try:
            if self._admitted:
                if self.established_at > self._now:
                    self.established_at = self._now
                self._wire.receive_data_untrusted(data, events)
            elif self.on_hold:
                self.established_at = min(self.established_at, self._now)
                self._keep_untrusted(data)
            else:
                self._shake_hands_untrusted(data, events)
        except RemoteProtocolError as error:
            self._blame(events, error)
        if self._wire.unfinished.begun != self._frame:
            self._frame, self._frame_began = self._wire.unfinished.begun, self._now
        return events

    @property
    def has_input(self) -> bool:
        """Whether something received waits for the next `receive_data`, since a budget was used up."""
        return self._admitted and self._wire.has_input

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes us keep for it.

        That is what waits or is not complete of what it has sent, what it has announced and opened, and the
        answers that it does not read; not the messages that have been received.
        """
        return len(self._held) + self.outbox.reply_size + self._wire.kept

    @property
    def budget_left(self) -> int:
        """What the last `receive_data` or `admit` has left of its budget, in items."""
        return max(0, self._work.left)

    def admit(self, now: float, budget: int | None = None) -> list[Event]:
        """Go on with a remote on hold: open the drives; returns what it has caused in the meantime.

        To be called after `HandshakeCompleted`. Who does not want the remote calls `fail` with a
        `Refused` instead; a decision that is not made within `Limits.handshake_time` is such a one. While
        the remote is on hold, reading further is a waste: what it sends is only kept, within
        `Limits.held`. A machine (`Peersockets`) is given `HandshakeCompleted` together with what this
        returns, and not before. `budget` is as for `receive_data`. Raises `LocalProtocolError` if there is
        nothing on hold.
        """
        self._check_open()
        if not self.on_hold:
            raise LocalProtocolError("no remote is on hold")
        self._begin_slice(budget)
        self.on_hold = False
        self._tell_time(now)
        self._listening_since = self._now
        events: list[Event] = []
        try:
            self._admit_untrusted(events)
        except RemoteProtocolError as error:
            self._blame(events, error)
        return events

    def receive_eof(self, now: float) -> list[Event]:
        """The stream has ended; it is a fault only where it ends within something.

        What waits is worked through before, however much it is.
        """
        events = self.receive_data(b"", now) if self.has_input else []
        self._tell_time(now)
        if self.closed:
            return events
        error = None
        if self.remote_public_key is None:
            error = RemoteProtocolError("the connection ended before the handshake was finished")
        elif not self._wire.between_messages:
            error = RemoteProtocolError("the connection ended within a message")
        return self._close(events, error)

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return self._wire.has_output and not self._silenced

    def data_to_send(self, now: float | None = None) -> bytes | memoryview:
        """Hand over everything queued, encrypted in one pass; empty if there is nothing.

        Given `now`, the keepalive is timed from this sending; otherwise from the last time told.
        """
        if self.error is not None and self._silenced:
            return b""
        data = self._wire.data_to_send()
        if data:
            self._spoken = True
            if now is not None:
                self._tell_time(now)
            self._last_sent = self._now
            self._waiting_since = math.inf
        return data

    @property
    def is_proving(self) -> bool:
        """Whether the remote has dialled and been answered, and only its proof of its key is missing."""
        unproved = not self.initiator and self.remote_public_key is None
        return unproved and self._spoken and not self.closed

    def output_taken(self) -> None:
        """The stream has taken some of what was handed over, though not all: the remote is not stuck."""
        self._waiting_since = math.inf

    def next_deadline(self) -> float:
        """When to call `handle_deadline`, at the latest; infinity for never."""
        if self.closed:
            return math.inf
        if self.remote_public_key is None:
            return self._handshake_deadline
        keepalive = self._last_sent + self._wire.keepalive
        if self.on_hold:
            return min(keepalive, self._handshake_deadline)
        return min(keepalive, self.remote_deadline)

    @property
    def remote_deadline(self) -> float:
        """When the remote has had its time, if nothing comes of it until then; infinity for never.

        It is judged by what has been received, so that what has arrived by then has to be read before.
        """
        if self.closed or self.on_hold:
            return math.inf
        if self.remote_public_key is None:
            return self._handshake_deadline
        return min(self._silence_deadline, self._frame_deadline, self._waiting_since + self.limits.send_time)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due by `now`: send a keepalive, or give the peer up.

        Call it when everything that has arrived has been given to `receive_data`: a remote is not silent
        whose bytes lie unread. If the call comes much later than it was due, the time since the last call of
        any method with a time does not count against the remote: it was we who were away.
        """
        self._tell_time(now)
        if self.closed or self._now < self.next_deadline():
            return []
        if self.remote_public_key is None:
            text = f"no handshake within {self.limits.handshake_time:g} seconds"
            if self.wire is not None:
                text += f"; does the remote speak {self.wire}?"
            return self._close([], RemoteProtocolError(text))
        if self.on_hold and self._now >= self._handshake_deadline:
            return self._close([], Refused(f"no decision within {self.limits.handshake_time:g} seconds"))
        if self._now >= self.remote_deadline:
            return self._close([], self._overdue())
        if self.has_output and not self.on_hold:
            self._waiting_since = min(self._waiting_since, self._now)
        self._wire.send_keepalive()
        # The next is due from now on, even if this one cannot leave because the peer does not read.
        self._last_sent = self._now
        return []

    def send_keepalive(self) -> None:
        """Queue a keepalive before it is due. Raises `LocalProtocolError` before the remote is admitted."""
        self._check_admitted()
        self._wire.send_keepalive()

    def pause_reading(self, now: float) -> None:
        """We read no further for a while, so that silence is not the peer's."""
        self._tell_time(now)
        self._reading = False

    def resume_reading(self, now: float) -> None:
        """We read again: the peer has the full time to be heard."""
        self._tell_time(now)
        self._listening_since = self._frame_began = self._now
        self._reading = True

    def open_drive(self, key: DriveKey) -> None:
        """Open a drive here and offer it to the remote, as soon as that is admitted.

        Raises `LocalProtocolError` if it is open already.
        """
        self._check_open()
        if key.discovery_key in self._drives:
            raise LocalProtocolError(f"drive {key} is already open on this connection")
        self._drives[key.discovery_key] = key
        if self._admitted:
            self._wire.open_drive(key)

    def close_drive(self, discovery_key: bytes) -> None:
        """Close a drive that is open here. Raises `LocalProtocolError` if it is not."""
        self._check_open()
        if self._drives.pop(discovery_key, None) is None:
            raise LocalProtocolError(f"no drive with discovery key {discovery_key.hex()} is open")
        if self._admitted:
            self._wire.close_drive(discovery_key)

    def sender(self, discovery_key: bytes | None, name: str) -> Sender:
        """Return what sends the messages of one registered extension.

        Raises `LocalProtocolError` before the remote is admitted and after closing.
        """
        self._check_admitted()
        return self._wire.sender(discovery_key, name)

    @property
    def mux(self) -> Mux:
        """The channels of a hypercore11 connection, for protocols beside hypercore's.

        What is paired before the handshake is finished, or on hold, misses nothing that the remote opens.
        How to run a protocol: `peersockets_core.wires.hypercore11.protomux`. Raises `LocalProtocolError`
        on another wire, and before the first bytes have decided which one it is.
        """
        mux = self._wire.mux
        if mux is None:
            raise LocalProtocolError(
                f"a mux needs the wire hypercore11, not {self.wire or 'one yet to be told'}"
            )
        return mux

    def close(self) -> list[Event]:
        """Close from our side; what is queued can still be taken and sent."""
        return [] if self.closed else self._close([], None)

    def fail(self, error: RemoteProtocolError | Refused) -> list[Event]:
        """Close for what the peer did on a layer above or below, or was.

        Nothing more is sent, except to the refused: theirs is the rest of the handshake, so that they see
        a connection that ends, and not one that never begins.
        """
        return [] if self.closed else self._close([], error)

    def _overdue(self) -> RemoteProtocolError:
        """What the remote has had its time for."""
        if self._now >= self._silence_deadline:
            return RemoteProtocolError(f"nothing received for {self._wire.silence:g} seconds")
        if self._now >= self._frame_deadline:
            text = f"a message has been incomplete for {self.limits.frame_time:g} seconds"
            return RemoteProtocolError(text)
        return RemoteProtocolError(f"nothing taken of what was sent for {self.limits.send_time:g} seconds")

    @property
    def _frame_deadline(self) -> float:
        if not self._reading:
            return math.inf
        return self._frame_began + self.limits.frame_time if self._wire.unfinished else math.inf

    def _begin_slice(self, budget: int | None) -> None:
        if budget is not None and budget < 1:
            raise ValueError(f"budget must be one item or more, not {budget!r}")
        self._work.left = UNBOUNDED if budget is None else budget

    def _begin(self, wire: WireName, keys: Keys | None = None) -> None:
        self.wire = wire
        setup = WireSetup(
            initiator=self.initiator,
            key_pair=self.key_pair,
            entropy=self._entropy,
            limits=self.limits,
            extensions=self.extensions,
            outbox=self.outbox,
            work=self._work,
            keys=keys,
        )
        self._wire = KINDS[wire].make(setup)

    def _shake_hands_untrusted(self, data: Buffer, events: list[Event]) -> None:
        if self.wire is None and data:
            self._begin(detect_untrusted(data[0]))
        self._wire.receive_data_untrusted(data, events)
        if not events:
            return
        (completed,) = events
        assert isinstance(completed, HandshakeCompleted)
        key = self.remote_public_key = completed.remote_public_key
        if not self.initiator:  # the handshake's last message is the initiator's
            self.established_at = self._now
        if key == self.key_pair.public_keys[completed.wire]:
            events.clear()
            raise RemoteProtocolError("connected to ourselves")
        if self._expected not in (None, key):
            events.clear()
            raise UnexpectedKey(self._expected, key)
        self.on_hold = self._hold
        if not self.on_hold:
            self._admit_untrusted(events)

    def _admit_untrusted(self, events: list[Event]) -> None:
        self._admitted = True
        for drive_key in self._drives.values():
            self._wire.open_drive(drive_key)
        held, self._held = bytes(self._held), bytearray()
        self._wire.receive_data_untrusted(held, events)

    def _keep_untrusted(self, data: Buffer) -> None:
        self._held += data
        if len(self._held) > self.limits.held:
            raise RemoteProtocolError(f"{len(self._held)} bytes from a remote that is not yet admitted")

    def _blame(self, events: list[Event], error: RemoteProtocolError) -> None:
        # Its traceback, and that of its cause, would keep all that was being read.
        error.__cause__ = error.__context__ = None
        self._close(events, error.with_traceback(None))

    @property
    def _silenced(self) -> bool:
        return isinstance(self.error, RemoteProtocolError)

    def _tell_time(self, now: float) -> None:
        if now - self._now > LATENESS:
            away = absence(now, told=self._now, due=self.next_deadline())
            self._handshake_deadline += away
            self._listening_since = max(self.heard_at, self._listening_since) + away
            self._frame_began += away
            self._waiting_since += away
        self._now = max(self._now, now)

    @property
    def _silence_deadline(self) -> float:
        if not self._reading:
            return math.inf
        return max(self.heard_at, self._listening_since) + self._wire.silence

    def _check_open(self) -> None:
        if self.closed:
            raise LocalProtocolError("the connection is closed")

    def _check_admitted(self) -> None:
        self._check_open()
        if not self._admitted:
            state = (
                "the handshake is not finished" if self.remote_public_key is None else "the remote is on hold"
            )
            raise LocalProtocolError(state)

    def _close(self, events: list[Event], error: RemoteProtocolError | Refused | None) -> list[Event]:
        self.closed = True
        self.on_hold = False
        self.error = error
        self.outbox.seal()
        # A connection is part of cycles: as garbage it may wait for long, with megabytes of half a message.
        self._wire.forget_input()
        self._held = bytearray()
        events.append(ConnectionClosed(error))
        return events
