"""hyperswarm 2.15.3, `deduplicate`, case by case."""

from __future__ import annotations

import pytest

from peersockets_core.wires.duplicates import Duplicates, Stays
from peersockets_core.wires.hypercore9.duplicates import judge

SIMULTANEOUS = {
    # Whether our key is the smaller, and whether we dialled the older and the newer: which one stays, and
    # whether we decide that.
    (True, False, False): (Stays.LIVELIER, False),
    (True, False, True): (Stays.NEWER, True),
    (True, True, False): (Stays.LIVELIER, False),
    (True, True, True): (Stays.NEWER, True),
    (False, False, False): (Stays.NEWER, False),
    (False, False, True): (Stays.LIVELIER, True),
    (False, True, False): (Stays.NEWER, True),
    (False, True, True): (Stays.LIVELIER, True),
}


@pytest.mark.parametrize(("case", "verdict"), SIMULTANEOUS.items())
def test_two_connections_that_began_before_either_was_established(
    case: tuple[bool, bool, bool], verdict: tuple[Stays, bool]
) -> None:
    smaller, older, newer = case
    pair = Duplicates(dialled=newer, same_dialler=older == newer, smaller=smaller, follows=False)
    assert judge(pair) == verdict


def test_the_order_of_two_connections_dialled_by_the_smaller_key_is_known() -> None:
    pair = Duplicates(dialled=False, same_dialler=True, smaller=False, follows=True)
    assert judge(pair) == (Stays.NEWER, True)
