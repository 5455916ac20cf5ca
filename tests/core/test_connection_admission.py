from __future__ import annotations

import pytest

from core.support import key_pair
from peersockets_core import HandshakeCompleted, RemoteProtocolError, UnexpectedKey
from peersockets_core.connection_admission import Admission

OURS = key_pair("ours")


def proved(key: bytes) -> HandshakeCompleted:
    return HandshakeCompleted("hypercore11", key, bytes(64))


def admission(expected: bytes | None = None, *, limit: int = 10) -> Admission:
    return Admission(key_pair=OURS, expected=expected, hold=True, limit=limit)


def test_every_remote_may_come_except_ourselves() -> None:
    admission().check_untrusted(proved(bytes(32)))
    with pytest.raises(RemoteProtocolError, match="connected to ourselves"):
        admission().check_untrusted(proved(OURS.public_keys["hypercore11"]))


def test_only_the_expected_key_is_accepted() -> None:
    admission(bytes(32)).check_untrusted(proved(bytes(32)))
    with pytest.raises(UnexpectedKey):
        admission(bytes(32)).check_untrusted(proved(bytes([1]) * 32))


def test_the_expected_key_must_be_a_key() -> None:
    with pytest.raises(ValueError, match="expect must be a public key"):
        admission(b"short")


def test_bytes_are_kept_up_to_the_limit_and_handed_over_once() -> None:
    waiting = admission(limit=4)
    waiting.keep_untrusted(b"ab")
    waiting.keep_untrusted(b"cd")
    assert waiting.take() == b"abcd"
    assert waiting.take() == b""
    with pytest.raises(RemoteProtocolError, match="5 bytes from a remote that is not yet admitted"):
        waiting.keep_untrusted(b"abcde")
