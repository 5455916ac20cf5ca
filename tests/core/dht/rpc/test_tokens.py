"""Tokens: they are valid for one host, for some seconds."""

from __future__ import annotations

import hashlib
from itertools import count

from peersockets_core.dht.rpc.tokens import ROTATION, Tokens


def tokens(now: float = 100.0) -> Tokens:
    numbers = count(1)
    return Tokens(lambda size: bytes([next(numbers)]) * size, now)


def test_a_token_is_the_hash_of_the_host_under_a_secret() -> None:
    expected = hashlib.blake2b(b"10.0.0.1", digest_size=32, key=b"\x01" * 32).digest()
    assert tokens().make("10.0.0.1", 100.0) == expected


def test_another_host_cannot_use_a_token() -> None:
    ours = tokens()
    token = ours.make("10.0.0.1", 100.0)
    assert ours.recognize(token, "10.0.0.1", 100.0)
    assert not ours.recognize(token, "10.0.0.2", 100.0)
    assert not ours.recognize(token[:-1], "10.0.0.1", 100.0)


def test_a_token_lasts_for_at_least_one_rotation_and_less_than_two() -> None:
    for moment in (100.0, 103.0, 107.4, 107.6, 250.1):
        ours = tokens()
        token = ours.make("10.0.0.1", moment)
        assert ours.recognize(token, "10.0.0.1", moment + ROTATION - 0.01)
        assert not ours.recognize(token, "10.0.0.1", moment + 2 * ROTATION)


def test_after_a_long_pause_no_old_secret_is_left() -> None:
    ours = tokens()
    token = ours.make("10.0.0.1", 100.0)
    assert not ours.recognize(token, "10.0.0.1", 100.0 + 10 * ROTATION)
    assert ours.recognize(ours.make("10.0.0.1", 200.0), "10.0.0.1", 200.0)


def test_the_number_of_remembered_tokens_is_bounded() -> None:
    ours = tokens()
    for number in range(10_000):
        token = ours.make(f"10.0.{number >> 8}.{number & 255}", 100.0)
    assert len(ours.remembered) < 10_000
    assert ours.recognize(token, "10.0.39.15", 100.0)
    assert ours.make("10.0.0.0", 100.0) == tokens().make("10.0.0.0", 100.0)
