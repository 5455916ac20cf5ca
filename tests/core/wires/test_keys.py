"""The keys of a finished handshake are secrets."""

from __future__ import annotations

from peersockets_core.wires.keys import Keys


def test_keys_do_not_show_their_secrets() -> None:
    keys = Keys(bytes([0xAB]) * 32, bytes([0xCD]) * 32, bytes(64), bytes(32))
    assert bytes(keys.sending_key) == bytes([0xAB]) * 32
    for hidden in ("abab", "cdcd", "xab", "xcd"):
        assert hidden not in repr(keys)
