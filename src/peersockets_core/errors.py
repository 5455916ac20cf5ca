"""The errors of the core. The two main branches separate the caller's faults from the peer's."""

from __future__ import annotations


class PeersocketsError(Exception):
    """The base of every error that peersockets defines."""


class LocalProtocolError(PeersocketsError):
    """The caller's fault. The call raises it and changes nothing."""


class RemoteProtocolError(PeersocketsError):
    """The peer's fault. It says why the connection was closed."""


class UnexpectedKey(RemoteProtocolError):
    """The remote has proved a different key than the expected one."""

    def __init__(self, expected: bytes, actual: bytes) -> None:
        super().__init__(f"expected the key {expected.hex()}, but the remote has {actual.hex()}")
        self.expected = expected
        self.actual = actual


class Refused(PeersocketsError):
    """Our side does not want the remote. The application raises it, and the connection ends with it."""

    def __init__(self, reason: str = "no reason given") -> None:
        super().__init__(f"refused: {reason}")
        self.reason = reason


class PeerUnreachable(PeersocketsError):
    """A key that was dialled in the swarm cannot be reached. The text says why."""


class TraceError(PeersocketsError):
    """A file is not a recorded session, or its replay differs from it: see `peersockets_core.trace`."""


class UnknownPeer(LocalProtocolError):
    """No peer of this node has that peer id: it was never given, or its peer was forgotten."""

    def __init__(self, peer_id: object) -> None:
        super().__init__(f"peer_id {peer_id!r} is not a peer of this node")
        self.peer_id = peer_id


class PeerGone(LocalProtocolError):
    """The peer id is known, but the peer cannot be reached on this topic now."""

    def __init__(self, peer_id: int) -> None:
        super().__init__(f"peer {peer_id} is gone")
        self.peer_id = peer_id


class MessageTooLarge(LocalProtocolError):
    """The message is larger than the wire to that peer allows. Nothing was sent."""

    def __init__(self, size: int, largest: int) -> None:
        super().__init__(f"message of {size} bytes is over the wire's limit of {largest} bytes")
        self.size = size
        self.largest = largest


class RequestError(PeersocketsError):
    """The answer to a request is an error.

    A handler raises it to send `text` to the asker. The asker's `request` raises it with the received
    text, which the peer has chosen.
    """

    def __init__(self, text: str) -> None:
        """Raises `TypeError` or `ValueError` for a text that UTF-8 cannot carry."""
        if not isinstance(text, str):
            raise TypeError(f"text must be str, not {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"text must not contain lone surrogates: {text[:80]!a}") from None
        super().__init__(text)
        self.text = text
