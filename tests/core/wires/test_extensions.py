from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import LocalProtocolError
from peersockets_core.wires.extensions import ExtensionNames, utf16_order

# abstract-extension 3.1.1 on Node 20: names() of a local table to which these names were added in another
# order.
JAVASCRIPT_ORDER = [
    "", "\0", "Z", "a", "aa", "a\U0001f600", "a\uffee", "e\u0301", "\xe9", "\ud7ff", "\U00010000",
    "\U0001f600", "\U0010ffff", "\ue000", "\uffff",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_names_are_in_the_order_of_javascript(seed: int) -> None:
    shuffled = JAVASCRIPT_ORDER[:]
    random.Random(seed).shuffle(shuffled)
    extensions = ExtensionNames()
    for name in shuffled:
        extensions.register(name)
    assert extensions.names == JAVASCRIPT_ORDER
    assert [extensions.index(name) for name in JAVASCRIPT_ORDER] == list(range(len(JAVASCRIPT_ORDER)))


def test_this_order_is_not_that_of_code_points() -> None:
    assert sorted(JAVASCRIPT_ORDER) != JAVASCRIPT_ORDER
    assert sorted(JAVASCRIPT_ORDER, key=utf16_order) == JAVASCRIPT_ORDER


def test_a_name_is_listed_once_however_often_it_is_registered() -> None:
    extensions = ExtensionNames()
    extensions.register("a")
    version = extensions.version
    extensions.register("a")
    assert extensions.names == ["a"]
    assert extensions.version == version
    extensions.unregister("a")
    assert "a" in extensions
    assert extensions.version == version
    extensions.unregister("a")
    assert "a" not in extensions
    assert extensions.names == []
    assert extensions.version != version


def test_asking_for_a_name_does_not_register_it() -> None:
    extensions = ExtensionNames()
    assert "a" not in extensions
    assert "a" not in extensions
    assert extensions.names == []


def test_interest_in_strangers_ends_with_the_registration_of_its_user() -> None:
    extensions, interest = ExtensionNames(), list[bool]()
    steps = [
        ("+", "a", True),
        ("+", "a", False),
        ("+", "b", False),
        ("-", "a", False),
        ("-", "a", True),
        ("-", "b", False),
    ]
    for sign, name, members_only in steps:
        change = extensions.register if sign == "+" else extensions.unregister
        change(name, members_only=members_only)
        interest.append(extensions.for_strangers)
    assert interest == [False, True, True, True, True, False]
    extensions.register("a")
    extensions.unregister("a")
    assert not extensions.for_strangers


def test_each_user_who_listens_to_strangers_is_counted() -> None:
    extensions, interest = ExtensionNames(), list[bool]()
    for name in ("a", "a", "b"):
        extensions.register(name)
    extensions.register("b", members_only=True)
    extensions.unregister("b", members_only=True)
    for name in ("a", "b", "a"):
        interest.append(extensions.for_strangers)
        extensions.unregister(name)
    interest.append(extensions.for_strangers)
    assert interest == [True, True, True, False]


def test_the_version_never_returns_to_an_earlier_one() -> None:
    extensions, versions = ExtensionNames(), list[int]()
    for change in (extensions.register, extensions.unregister) * 3:
        versions.append(extensions.version)
        change("a")
    versions.append(extensions.version)
    assert len(set(versions)) == 7


def test_the_error_contains_the_unknown_name() -> None:
    with pytest.raises(LocalProtocolError, match="the extension 'a' is not registered"):
        ExtensionNames().unregister("a")


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=2)), max_size=40))
def test_names_can_be_registered_and_unregistered_in_any_order(steps: list[tuple[bool, str]]) -> None:
    extensions, registered = ExtensionNames(), list[str]()
    for register, name in steps:
        if register:
            extensions.register(name)
            registered.append(name)
        elif name in registered:
            extensions.unregister(name)
            registered.remove(name)
        assert extensions.names == sorted(set(registered), key=utf16_order)
        assert all(name in extensions for name in registered)
