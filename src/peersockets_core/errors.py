"""The errors of the core: whose fault it was decides the branch of the tree."""

from __future__ import annotations


class PeersocketsError(Exception):
    """Base of every error that peersockets raises on its own account."""


class LocalProtocolError(PeersocketsError):
    """The caller's fault: raised at the call, which has changed nothing."""


class RemoteProtocolError(PeersocketsError):
    """The peer's fault: the connection it happened on is closed, and this says why."""


class UnexpectedKey(RemoteProtocolError):
    """The remote has proved another key than the one that was asked for."""

    def __init__(self, expected: bytes, actual: bytes) -> None:
        super().__init__(f"expected the key {expected.hex()}, and the remote has {actual.hex()}")
        self.expected = expected
        self.actual = actual


class Refused(PeersocketsError):
    """Our side does not want the remote: raised by the application, and what its connection ends in."""

    def __init__(self, reason: str = "no reason given") -> None:
        super().__init__(f"refused: {reason}")
        self.reason = reason


class PeerUnreachable(PeersocketsError):
    """A key that was dialled in the swarm cannot be reached; the text says why."""


class TraceError(PeersocketsError):
    """What was to be a recorded session is none, or replayed differently: see `peersockets_core.trace`."""


class UnknownPeer(LocalProtocolError):
    """No peer of this node has ever had that peer id."""

    def __init__(self, peer_id: object) -> None:
        super().__init__(f"peer_id {peer_id!r} is not a peer of this node")
        self.peer_id = peer_id


class PeerGone(LocalProtocolError):
    """The peer id is known, but the peer cannot be reached on this topic now."""

    def __init__(self, peer_id: int) -> None:
        super().__init__(f"peer {peer_id} is gone")
        self.peer_id = peer_id


class MessageTooLarge(LocalProtocolError):
    """The message is larger than the wire to that peer carries; nothing was sent."""

    def __init__(self, size: int, largest: int) -> None:
        super().__init__(f"message of {size} bytes is over the wire's limit of {largest} bytes")
        self.size = size
        self.largest = largest


class RequestError(PeersocketsError):
    """A request was answered with an error.

    A handler raises it to tell the asker `text`; the asker's `request` raises it with the text received,
    which is whatever the peer chose to say.
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
