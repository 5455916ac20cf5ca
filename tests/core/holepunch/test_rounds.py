"""The message between the two sides."""

from __future__ import annotations

from peersockets_core.dht.messages import HandshakeError
from peersockets_core.holepunch import Firewall, PunchError, Round


def test_a_first_message_claims_nothing() -> None:
    message = Round()
    assert message.firewall == Firewall.UNKNOWN
    assert not message.punching
    assert not message.addresses
    assert message.token is None


def test_the_errors_are_those_of_handshakes() -> None:
    for error in PunchError:
        assert int(HandshakeError[error.name]) == int(error)
