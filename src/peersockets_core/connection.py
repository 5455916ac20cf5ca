"""`Connection`: one stream's state machine, whatever the wire, and the boundary where errors are sorted.

Feed it what the stream delivers and the time; send what it hands over; when its next deadline has come, read
what has arrived, and then call `handle_deadline`. Time is any monotonic clock in seconds.
"""

from __future__ import annotations

import math
from typing import Generic, cast

from .connection_admission import Admission
from .connection_state import ENDED, TRANSITIONS, UNPROVED, ConnectionSignal, ConnectionState
from .connection_timers import ConnectionTimers
from .crypto.sodium import Buffer
from .errors import LocalProtocolError, Refused, RemoteProtocolError
from .events import ConnectionClosed, Event, HandshakeCompleted, WireName
from .keys import DriveKey, Entropy, KeyPair
from .limits import DEFAULT_LIMITS, Limits
from .outbox import Outbox
from .owners import C_co
from .transitions import follow
from .wires.extensions import ExtensionNames
from .wires.hypercore11.protomux import Mux
from .wires.keys import Keys
from .wires.setup import WireSetup
from .wires.table import KINDS, WIRES, Undecided, detect_untrusted
from .wires.wire import Sender, Wire
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
        self.owner = cast(C_co, None)
        """The object that moves this connection's bytes; None until the program around the core sets it."""
        self.error: RemoteProtocolError | Refused | None = None
        """What the peer did wrong, or why we do not want it, where that closed the connection."""
        self.limits = limits
        """The bounds that the remote can push against."""
        self._entropy = entropy
        self._drives: dict[bytes, DriveKey] = {}
        self.outbox = Outbox(limit=limits.send_buffer, reply_limit=limits.replies)
        """What is queued; its `size` is what back pressure looks at."""
        self._work = Work()
        # For the modules beside this one, and for tests:
        self.state = ConnectionState.UNDECIDED
        self.admission = Admission(key_pair=key_pair, expected=expect, hold=hold, limit=limits.held)
        self.wire_machine: Wire = Undecided()
        if wire is not None:
            self._begin(wire, keys)
        self.began = now
        """When it began."""
        self.established_at = math.inf
        """From when we know that both sides have finished the handshake; infinity before."""
        self._timers = ConnectionTimers(limits, now)
        self._spoken = False

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.state in ENDED

    @property
    def on_hold(self) -> bool:
        """Whether the remote waits for `admit`."""
        return self.state is ConnectionState.ON_HOLD

    @property
    def heard_at(self) -> float:
        """When the remote was last heard."""
        return self._timers.heard_at

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
        state, timers = self.state, self._timers
        if state in ENDED:
            return []
        timers.heard_at = timers.now
        events: list[Event] = []
        try:
            if state in UNPROVED:
                self._shake_hands_untrusted(data, events)
            else:
                self.established_at = min(self.established_at, timers.now)
                if state is ConnectionState.ADMITTED:
                    self.wire_machine.receive_data_untrusted(data, events)
                else:
                    self.admission.keep_untrusted(data)
        except RemoteProtocolError as error:
            self._blame(events, error)
        timers.reached(self.wire_machine.unfinished.begun)
        return events

    @property
    def has_input(self) -> bool:
        """Whether something received waits for the next `receive_data`, since a budget was used up."""
        return self.state is ConnectionState.ADMITTED and self.wire_machine.has_input

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes us keep for it.

        That is what waits or is not complete of what it has sent, what it has announced and opened, and the
        answers that it does not read; not the messages that have been received.
        """
        return len(self.admission.held) + self.outbox.reply_size + self.wire_machine.kept

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
        self._tell_time(now)
        self._timers.listen()
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
        if self.state in UNPROVED:
            error = RemoteProtocolError("the connection ended before the handshake was finished")
        elif not self.wire_machine.between_messages:
            error = RemoteProtocolError("the connection ended within a message")
        return self._close(events, error)

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return self.wire_machine.has_output and self.state is not ConnectionState.FAILED

    def data_to_send(self, now: float | None = None) -> bytes | memoryview:
        """Hand over everything queued, encrypted in one pass; empty if there is nothing.

        Given `now`, the keepalive is timed from this sending; otherwise from the last time told.
        """
        if self.state is ConnectionState.FAILED:
            return b""
        data = self.wire_machine.data_to_send()
        if data:
            self._spoken = True
            if now is not None:
                self._tell_time(now)
            self._timers.sent()
        return data

    @property
    def is_proving(self) -> bool:
        """Whether the remote has dialled and been answered, and only its proof of its key is missing."""
        return not self.initiator and self._spoken and self.state in UNPROVED

    def output_taken(self) -> None:
        """The stream has taken some of what was handed over, though not all: the remote is not stuck."""
        self._timers.output_taken()

    def next_deadline(self) -> float:
        """When to call `handle_deadline`, at the latest; infinity for never."""
        return self._timers.next_deadline(self.state, self.wire_machine)

    @property
    def remote_deadline(self) -> float:
        """When the remote has had its time, if nothing comes of it until then; infinity for never.

        It is judged by what has been received, so that what has arrived by then has to be read before.
        """
        return self._timers.remote_deadline(self.state, self.wire_machine)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due by `now`: send a keepalive, or give the peer up.

        Call it when everything that has arrived has been given to `receive_data`: a remote is not silent
        whose bytes lie unread. If the call comes much later than it was due, the time since the last call of
        any method with a time does not count against the remote: it was we who were away.
        """
        self._tell_time(now)
        timers = self._timers
        if self.closed or timers.now < self.next_deadline():
            return []
        error = timers.overdue(self.state, self.wire_machine, self.wire)
        if error is not None:
            return self._close([], error)
        if self.has_output and not self.on_hold:
            timers.output_waits()
        self.wire_machine.send_keepalive()
        # The next is due from now on, even if this one cannot leave because the peer does not read.
        timers.sent_at = timers.now
        return []

    def send_keepalive(self) -> None:
        """Queue a keepalive before it is due. Raises `LocalProtocolError` before the remote is admitted."""
        self._check_admitted()
        self.wire_machine.send_keepalive()

    def pause_reading(self, now: float) -> None:
        """We read no further for a while, so that silence is not the peer's."""
        self._tell_time(now)
        self._timers.pause_reading()

    def resume_reading(self, now: float) -> None:
        """We read again: the peer has the full time to be heard."""
        self._tell_time(now)
        self._timers.resume_reading()

    def open_drive(self, key: DriveKey) -> None:
        """Open a drive here and offer it to the remote, as soon as that is admitted.

        Raises `LocalProtocolError` if it is open already.
        """
        self._check_open()
        if key.discovery_key in self._drives:
            raise LocalProtocolError(f"drive {key} is already open on this connection")
        self._drives[key.discovery_key] = key
        if self.state is ConnectionState.ADMITTED:
            self.wire_machine.open_drive(key)

    def close_drive(self, discovery_key: bytes) -> None:
        """Close a drive that is open here. Raises `LocalProtocolError` if it is not."""
        self._check_open()
        if self._drives.pop(discovery_key, None) is None:
            raise LocalProtocolError(f"no drive with discovery key {discovery_key.hex()} is open")
        if self.state is ConnectionState.ADMITTED:
            self.wire_machine.close_drive(discovery_key)

    def sender(self, discovery_key: bytes | None, name: str) -> Sender:
        """Return what sends the messages of one registered extension.

        Raises `LocalProtocolError` before the remote is admitted and after closing.
        """
        self._check_admitted()
        return self.wire_machine.sender(discovery_key, name)

    @property
    def mux(self) -> Mux:
        """The channels of a hypercore11 connection, for protocols beside hypercore's.

        What is paired before the handshake is finished, or on hold, misses nothing that the remote opens.
        How to run a protocol: `peersockets_core.wires.hypercore11.protomux`. Raises `LocalProtocolError`
        on another wire, and before the first bytes have decided which one it is.
        """
        mux = self.wire_machine.mux
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

    def _begin_slice(self, budget: int | None) -> None:
        if budget is not None and budget < 1:
            raise ValueError(f"budget must be one item or more, not {budget!r}")
        self._work.left = UNBOUNDED if budget is None else budget

    def _begin(self, wire: WireName, keys: Keys | None = None) -> None:
        self.wire = wire
        self._signal(ConnectionSignal.DETECT)
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
        self.wire_machine = KINDS[wire].make(setup)

    def _shake_hands_untrusted(self, data: Buffer, events: list[Event]) -> None:
        if self.wire is None and data:
            self._begin(detect_untrusted(data[0]))
        self.wire_machine.receive_data_untrusted(data, events)
        if not events:
            return
        (completed,) = events
        assert isinstance(completed, HandshakeCompleted)
        self.remote_public_key = completed.remote_public_key
        if not self.initiator:  # the handshake's last message is the initiator's
            self.established_at = self._timers.now
        try:
            self.admission.check_untrusted(completed)
        except RemoteProtocolError:
            events.clear()
            raise
        if self.admission.hold:
            self._signal(ConnectionSignal.HOLD)
        else:
            self._admit_untrusted(events)

    def _admit_untrusted(self, events: list[Event]) -> None:
        self._signal(ConnectionSignal.ADMIT)
        for drive_key in self._drives.values():
            self.wire_machine.open_drive(drive_key)
        self.wire_machine.receive_data_untrusted(self.admission.take(), events)

    def _blame(self, events: list[Event], error: RemoteProtocolError) -> None:
        # Its traceback, and that of its cause, would keep all that was being read.
        error.__cause__ = error.__context__ = None
        self._close(events, error.with_traceback(None))

    def _signal(self, signal: ConnectionSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "connection")

    def _tell_time(self, now: float) -> None:
        self._timers.advance(now, self.next_deadline)

    def _check_open(self) -> None:
        if self.closed:
            raise LocalProtocolError("the connection is closed")

    def _check_admitted(self) -> None:
        self._check_open()
        if self.state is not ConnectionState.ADMITTED:
            raise LocalProtocolError(
                "the remote is on hold" if self.on_hold else "the handshake is not finished"
            )

    def _close(self, events: list[Event], error: RemoteProtocolError | Refused | None) -> list[Event]:
        failed = isinstance(error, RemoteProtocolError)
        self._signal(ConnectionSignal.FAIL if failed else ConnectionSignal.CLOSE)
        self.error = error
        self.outbox.seal()
        # A connection is part of cycles: as garbage it may wait for long, with megabytes of half a message.
        self.wire_machine.forget_input()
        self.admission.take()
        events.append(ConnectionClosed(error))
        return events
