"""`Connection`: the state machine of one stream on any wire, and the boundary that converts errors.

The caller passes in the bytes of the stream and the time, and sends the bytes that the connection returns.
At the next deadline, it first reads everything that has arrived, and then calls `handle_deadline`. Times are
seconds of any monotonic clock.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, cast

from .buffer import Buffer
from .connection_admission import Admission
from .connection_state import ENDED, TRANSITIONS, UNPROVED, ConnectionSignal, ConnectionState
from .connection_timers import ConnectionTimers
from .errors import LocalProtocolError, Refused, RemoteProtocolError
from .events import ConnectionClosed, Event, HandshakeCompleted, WireName
from .keys import DriveKey, Entropy, KeyPair
from .limits import DEFAULT_LIMITS, Limits
from .outbox import Outbox
from .owners import C_co
from .transitions import follow
from .wires.extensions import ExtensionNames
from .wires.keys import Keys
from .wires.setup import WireSetup
from .wires.table import KINDS, Undecided, detect_untrusted, parse_wire
from .wires.wire import Sender, Wire
from .work import UNBOUNDED, Work

if TYPE_CHECKING:
    from .wires.hypercore11.protomux import Mux


class Connection(Generic[C_co]):
    """One encrypted stream to one remote public key.

    `Peersockets.make_connection` makes one for each stream. Pass the bytes of the stream to `receive_data`
    and the events that it returns to `Peersockets.receive_events`, write the bytes that `data_to_send`
    returns, and call `handle_deadline` at `next_deadline`. Without the machine, call the constructor, and
    interpret the events yourself.
    """

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

        With the `keys` of a handshake that took place elsewhere, as in HyperDHT, the stream is encrypted
        from its first byte on (hypercore11 only), and the first bytes of the remote complete the handshake.

        A responder may pass None as the wire, and then recognizes it from the first byte. Many
        connections may share `extensions`; by default, the connection has its own. If the remote proves
        a different key than `expect`, the connection ends with `UnexpectedKey`. With `hold`, the
        connection pauses after `HandshakeCompleted` until `admit`: it processes no input of the remote,
        and sends nothing except the handshake. Raises `ValueError` for an unknown wire, an initiator
        without a wire, or an `expect` that is not a key.
        """
        if initiator or wire is not None:
            parse_wire(wire)
        if keys is not None and (wire is None or not KINDS[wire].takes_keys):
            able = ", ".join(name for name, kind in KINDS.items() if kind.takes_keys)
            raise ValueError(f"keys need the wire {able}, not {wire!r}")
        self.wire: WireName | None = None
        """The wire in use, or None until the first byte has identified it."""
        self.initiator = initiator
        """Whether our side has dialled, and so begins the handshake."""
        self.key_pair = key_pair
        """Our identity."""
        self.extensions = ExtensionNames() if extensions is None else extensions
        """The stream extensions registered here. Messages of other extensions are discarded."""
        self.remote_public_key: bytes | None = None
        """The remote's proved key, once the handshake is finished."""
        self.owner = cast(C_co, None)
        """The object that moves this connection's bytes; None until the program around the core sets it."""
        self.error: RemoteProtocolError | Refused | None = None
        """The peer's fault, or the reason for which we refused it, if that closed the connection."""
        self.limits = limits
        """The bounds that the remote can push against."""
        self._entropy = entropy
        self._drives: dict[bytes, DriveKey] = {}
        self.outbox = Outbox(limit=limits.send_buffer, reply_limit=limits.replies)
        """The queued output; back pressure depends on its `size`."""
        self._work = Work()
        # For the modules beside this one, and for tests:
        self.state = ConnectionState.UNDECIDED
        self.admission = Admission(key_pair=key_pair, expected=expect, hold=hold, limit=limits.held)
        self.wire_machine: Wire = Undecided()
        if wire is not None:
            self._begin(wire, keys)
        self.began = now
        """The time at which the connection began."""
        self.established_at = math.inf
        """The time from which we know that both sides have finished the handshake; infinity before."""
        self._timers = ConnectionTimers(limits, now)
        self._spoken = False

    def __repr__(self) -> str:
        remote = "" if self.remote_public_key is None else f" to {self.remote_public_key.hex()}"
        role = "initiator" if self.initiator else "responder"
        return f"<Connection {self.wire or 'on a wire to be detected'}, {role}, {self.state.value}{remote}>"

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
        """The time of the last input from the remote."""
        return self._timers.heard_at

    def receive_data(self, data: Buffer, now: float, budget: int | None = None) -> list[Event]:
        """Take in bytes of the stream; returns the events that they cause, in order.

        A writable buffer is decrypted in place, and the connection keeps no reference to it, so the
        caller can reuse it. A peer's fault is reported by the last event, a `ConnectionClosed` with the
        error; the call never raises because of the content of `data`. Data for a closed connection is
        ignored.

        A remote decides how much work its bytes cause. With a `budget`, in items of
        `peersockets_core.work`, the call stops after the item that uses it up; it copies the rest of the
        data, which waits. As long as `has_input`, the caller gives other connections a turn, does not read,
        and then calls this again without data. Other calls in between lose nothing: new data is queued
        behind the waiting data, and a call without a budget, or the end of the stream, processes
        everything.

        Raises `ValueError` for a memoryview that is not contiguous, or a budget that is not positive.
        """
        if isinstance(data, memoryview):
            if not data.c_contiguous:
                raise ValueError("data must be bytes, or a contiguous view of them")
            data = data.cast("B")
        self._begin_slice(budget)
        self._advance_time(now)
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
        """Whether received data waits for the next `receive_data`, because a budget was used up."""
        return self.state is ConnectionState.ADMITTED and self.wire_machine.has_input

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes us keep.

        They include its waiting and incomplete input, the names that it has announced, the channels that it
        has opened, and the answers that it does not read. They do not include received messages.
        """
        return len(self.admission.held) + self.outbox.reply_size + self.wire_machine.kept

    @property
    def budget_left(self) -> int:
        """The items that the last `receive_data` or `admit` has left of its budget."""
        return max(0, self._work.left)

    def admit(self, now: float, budget: int | None = None) -> list[Event]:
        """Admit a remote on hold and open the drives; returns the events of the input that it has sent
        meanwhile.

        The caller calls this after `HandshakeCompleted`, or refuses the remote by calling `fail` with a
        `Refused`. Without a decision within `Limits.handshake_time`, the connection refuses the remote
        itself. While the remote is on hold, reading is of no use: the connection only keeps the input,
        within `Limits.held`. A machine (`Peersockets`) must receive `HandshakeCompleted` together with the
        events that this returns, and not before. `budget` is as for `receive_data`. Raises
        `LocalProtocolError` if no remote is on hold.
        """
        self._check_open()
        if not self.on_hold:
            raise LocalProtocolError("no remote is on hold")
        self._begin_slice(budget)
        self._advance_time(now)
        self._timers.listen()
        events: list[Event] = []
        try:
            self._admit_untrusted(events)
        except RemoteProtocolError as error:
            self._blame(events, error)
        return events

    def receive_eof(self, now: float) -> list[Event]:
        """Take in the end of the stream; returns the events that it causes. It is a fault only within a
        message or the handshake.

        All waiting input is processed first, regardless of any budget.
        """
        events = self.receive_data(b"", now) if self.has_input else []
        self._advance_time(now)
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
        """Return all queued output, encrypted in one pass; empty if there is none.

        The time of the next keepalive counts from `now`, or, without `now`, from the time of the last call
        that had one.
        """
        if self.state is ConnectionState.FAILED:
            return b""
        data = self.wire_machine.data_to_send()
        if data:
            self._spoken = True
            if now is not None:
                self._advance_time(now)
            self._timers.sent()
        return data

    @property
    def is_proving(self) -> bool:
        """Whether the remote has dialled and got our answer, and only the proof of its key is missing."""
        return not self.initiator and self._spoken and self.state in UNPROVED

    def output_taken(self) -> None:
        """Note that the stream has taken a part of the output, so that the remote is not stuck."""
        self._timers.output_taken()

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; infinity for never."""
        return self._timers.next_deadline(self.state, self.wire_machine)

    @property
    def remote_deadline(self) -> float:
        """The time at which the remote is given up if it sends nothing until then; infinity for never.

        At that time, the caller first passes in everything that has arrived, because unread input does not
        count.
        """
        return self._timers.remote_deadline(self.state, self.wire_machine)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do whatever has become due by `now`: queue a keepalive, or give up the peer. Returns the events.

        Call it after everything that has arrived was given to `receive_data`: a remote with unread bytes is
        not silent. If the call comes much later than it was due, we were away ourselves. The time since the
        last call of any method with a time then does not count against the remote.
        """
        self._advance_time(now)
        timers = self._timers
        if self.closed or timers.now < self.next_deadline():
            return []
        error = timers.overdue(self.state, self.wire_machine, self.wire if self.initiator else None)
        if error is not None:
            return self._close([], error)
        if self.has_output and not self.on_hold:
            timers.output_waits()
        self.wire_machine.send_keepalive()
        # The time of the next keepalive counts from now, even if this one cannot leave because the peer does
        # not read.
        timers.sent_at = timers.now
        return []

    def send_keepalive(self) -> None:
        """Queue a keepalive before it is due. Raises `LocalProtocolError` before the remote is admitted."""
        self._check_admitted()
        self.wire_machine.send_keepalive()

    def pause_reading(self, now: float) -> None:
        """Note that we stop reading for a while, so that the remote is not to blame for silence."""
        self._advance_time(now)
        self._timers.pause_reading()

    def resume_reading(self, now: float) -> None:
        """Note that we read again, and give the remote the full time to be heard."""
        self._advance_time(now)
        self._timers.resume_reading()

    def open_drive(self, key: DriveKey) -> None:
        """Open a drive here, and offer it to the remote as soon as the remote is admitted.

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
        """Return the sender of one registered extension's messages.

        Raises `LocalProtocolError` before the remote is admitted and after closing.
        """
        self._check_admitted()
        return self.wire_machine.sender(discovery_key, name)

    @property
    def mux(self) -> Mux:
        """The channels of a hypercore11 connection, for protocols besides hypercore's.

        A protocol that is paired before the handshake is finished, or while the remote is on hold, misses
        no channel that the remote opens. `peersockets_core.wires.hypercore11.protomux` describes how to
        run a protocol. Raises `LocalProtocolError` on another wire, and before the first byte has
        identified the wire.
        """
        mux = self.wire_machine.mux
        if mux is None:
            raise LocalProtocolError(
                f"a mux needs the wire hypercore11, not {self.wire or 'one that is not known yet'}"
            )
        return mux

    def close(self) -> list[Event]:
        """Close from our side; the caller can still take and send the queued output."""
        return [] if self.closed else self._close([], None)

    def fail(self, error: RemoteProtocolError | Refused) -> list[Event]:
        """Close because of a fault on a layer above or below, or because we refuse the remote.

        The connection sends nothing more. Only a refused remote still gets the rest of the handshake, so
        that it sees a connection that ends, and not one that never begins.
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
        if not self.initiator:  # the initiator sends the handshake's last message
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
        # The tracebacks of the error and its cause would keep the data of the read alive.
        error.__cause__ = error.__context__ = None
        self._close(events, error.with_traceback(None))

    def _signal(self, signal: ConnectionSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "connection")

    def _advance_time(self, now: float) -> None:
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
        # A connection is part of reference cycles, so it may wait long for the garbage collector, and an
        # incomplete message can take megabytes.
        self.wire_machine.forget_input()
        self.admission.take()
        events.append(ConnectionClosed(error))
        return events
