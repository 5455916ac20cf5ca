from __future__ import annotations

import pytest

from peersockets_core import DriveKey, KeyPair
from peersockets_trio.browser.token import cookie_name, has_cookie, same, token_of

PAIR = KeyPair(bytes(32))
KEY = DriveKey(bytes(range(32)))


def test_the_token_follows_from_identity_and_drive() -> None:
    token = token_of(PAIR, KEY)
    assert len(bytes.fromhex(token)) == 32
    assert token == token_of(KeyPair(bytes(32)), DriveKey(bytes(range(32))))
    others = [token_of(KeyPair(bytes([1] * 32)), KEY), token_of(PAIR, DriveKey(bytes([1] * 32)))]
    assert len({token, *others}) == 3


def test_comparing_takes_any_text() -> None:
    assert same("abc", "abc")
    for text in ("", "ab", "abcd", "äbc", "\ud800"):
        assert not same(text, "abc")


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], False),
        (["peersockets-80=secret"], True),
        (["a=b; peersockets-80=secret; c"], True),
        (["a=b", "peersockets-80=secret"], True),
        (["peersockets-80=evil; peersockets-80=secret"], True),
        (["peersockets-80=secret; peersockets-80=evil"], True),
        (["peersockets-81=secret"], False),
        (["peersockets-80=secrets"], False),
        (["peersockets-80"], False),
        (["PEERSOCKETS-80=secret"], False),
        (["a=peersockets-80=secret"], False),
    ],
)
def test_cookies(headers: list[str], found: bool) -> None:
    assert has_cookie(headers, cookie_name(80), "secret") is found
