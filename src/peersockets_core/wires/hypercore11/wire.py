"""The hypercore11 wire: bytes in, events out; commands in, bytes out.

bytes -> secret_stream -> protomux -> alpha -> events
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ...buffer import Buffer
from ...errors import LocalProtocolError, RemoteProtocolError
from ...events import Event, HandshakeCompleted, WireName
from ...keys import DriveKey
from ..keys import Keys
from ..setup import WireSetup
from . import alpha
from .protomux import Mux
from .secret_stream import SecretStream


class Hypercore11:
    """One connection's state on this wire."""

    name: Final[WireName] = "hypercore11"

    def __init__(self, setup: WireSetup) -> None:
        """Begin with a handshake, or with the keys of one that is finished."""
        limits = setup.limits
        self.keepalive = limits.hypercore11_keepalive
        self.outbox = setup.outbox
        self.mux = Mux(limits=limits, outbox=self.outbox, aliases=alpha.ALIASES, work=setup.work)
        """The channels, for protocols besides hypercore's."""
        self._initiator = setup.initiator
        self._limits = limits
        self._work = setup.work
        self.stream = SecretStream(
            initiator=setup.initiator,
            entropy=setup.entropy,
            key_pair=setup.key_pair,
            keys=setup.keys,
            work=setup.work,
            max_frame=limits.hypercore11_frame,
        )
        self.unfinished = self.stream.unfinished
        """The received pieces of an incomplete frame."""
        # Decrypted messages for the next slice of work, and the fault that ends the connection after them.
        self._messages: deque[bytes] = deque()
        self._fault: RemoteProtocolError | None = None
        self._keys: Keys | None = None
        self._keepalive_due = False
        self._cores: dict[bytes, alpha.Core] = {}
        self._events: list[Event] = []
        self.mux.pair(alpha.PROTOCOL, None, self._paired)

    @property
    def silence(self) -> float:
        """Seconds that the remote may be silent. Silence only matters once the remote has sent a
        keepalive.
        """
        limits = self._limits
        if self.stream.keepalive_received:
            return min(limits.silence, limits.hypercore11_silence)
        return limits.hypercore11_silence

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self.outbox.chunks or self.stream.output or self._keepalive_due)

    @property
    def has_input(self) -> bool:
        """Whether input waits for the next slice of work."""
        return bool(self.mux.has_input or self._messages or self.stream.has_input or self._fault)

    @property
    def between_messages(self) -> bool:
        """Whether the remote may end the stream here without cutting off a message."""
        return self._keys is not None and self.stream.between_frames and not self.has_input

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes this wire keep, not counting answers to it."""
        names = sum(core.name_size for core in self._cores.values())
        return self.stream.kept + sum(map(len, self._messages)) + self.mux.kept + names

    def receive_data_untrusted(self, data: Buffer, events: list[Event]) -> None:
        """Append the events that `data` causes to `events`. Raises only `RemoteProtocolError`.

        Bytes that follow the handshake are kept for the next call.
        """
        if self._keys is None:
            self._shake_hands_untrusted(data, events)
            return
        if data:
            size = self.unfinished.size
            if size and size + self.unfinished.missing > self._limits.stranger_frame:
                self._check_large_untrusted(size + self.unfinished.missing)
        if data or not self.has_input:
            self._decrypt_untrusted(data)
        try:
            while self._work.left > 0 and self.has_input:
                self._go_on_untrusted()
        finally:
            events += self._events
            self._events.clear()

    def forget_input(self) -> None:
        """Drop the unfinished frame and all waiting input."""
        self.stream.forget_input()
        self.mux.forget_input()
        for core in self._cores.values():
            core.forget_name()
        self._messages.clear()
        self._fault = None

    def _check_large_untrusted(self, size: int) -> None:
        """Raise `RemoteProtocolError` if a stranger sends a large frame, of `size` bytes.

        Before a channel is open, frames are small.
        """
        if not self.mux.any_open:
            raise RemoteProtocolError(f"a frame of {size} bytes from a remote that is not a member")

    def _go_on_untrusted(self) -> None:
        """Process the next piece of waiting input, in the order of arrival."""
        if self.mux.has_input:
            self.mux.go_on_untrusted()
        elif self._messages:
            self.mux.receive_untrusted(self._messages.popleft())
        elif self._fault is not None:
            raise self._fault
        else:
            self._decrypt_untrusted(b"")

    def _decrypt_untrusted(self, data: Buffer) -> None:
        """Decrypt as much as the work allows. A fault counts only after the messages before it."""
        try:
            self.stream.receive_data_untrusted(data, self._messages)
        except RemoteProtocolError as error:
            self._fault = error

    def data_to_send(self) -> bytes | memoryview:
        """Return all queued output, encrypted frame by frame."""
        stream = self.stream
        plain = b""
        if stream.output:
            plain, stream.output = b"".join(stream.output), []
        if self._keys is None:
            return plain
        messages = self.mux.take_messages()
        if self._keepalive_due:
            self._keepalive_due = False
            messages.append((0, []))
        encrypted = stream.encrypt_all(messages) if messages else b""
        return plain + encrypted if plain else memoryview(encrypted)

    def send_keepalive(self) -> None:
        """Queue an empty frame."""
        self._keepalive_due = True

    def open_drive(self, key: DriveKey) -> None:
        """Open a drive, after the handshake."""
        assert self._keys is not None
        self._cores[key.discovery_key] = alpha.Core(
            self.mux, self._keys, key, initiator=self._initiator, limits=self._limits, events=self._events
        )

    def close_drive(self, discovery_key: bytes) -> None:
        """Close a drive that is open, after the handshake."""
        self._cores.pop(discovery_key).close()

    def sender(self, discovery_key: bytes | None, name: str) -> alpha.ExtensionSender:
        """Return the sender of one extension's messages, on the channel of a drive that both sides have open.

        Raises `LocalProtocolError` if they do not have the drive open.
        """
        core = self._cores.get(discovery_key or b"")
        if core is None or core.channel is None:
            raise LocalProtocolError("on hypercore11, extensions need a drive that both sides have open")
        return alpha.ExtensionSender(self.mux, core, name)

    def _shake_hands_untrusted(self, data: Buffer, events: list[Event]) -> None:
        stream = self.stream
        if stream.keys is None:
            stream.receive_data_untrusted(data, self._messages)
        else:
            stream.keep_untrusted(bytes(data))
        if stream.keys is not None:
            self._keys = keys = stream.keys
            events.append(HandshakeCompleted(self.name, keys.remote_public_key, keys.handshake_hash))

    def _paired(self, protocol: str, discovery_key: bytes) -> bool:
        core = self._cores.get(discovery_key)
        if core is not None:
            core.offer()
        return False
