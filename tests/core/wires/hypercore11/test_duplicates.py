"""hyperswarm 4.17.2, `_handleServerConnection`, case by case."""

from __future__ import annotations

import pytest

from peersockets_core.wires.duplicates import Duplicates, Stays
from peersockets_core.wires.hypercore11.duplicates import judge

SIMULTANEOUS = {
    # Whether our key is the smaller, and whether we dialled the older and the newer: which one stays, and
    # whether we decide that.
    (True, False, False): (Stays.NEWER, False),
    (True, False, True): (Stays.NEWER, False),
    (True, True, False): (Stays.NEWER, True),
    (True, True, True): (Stays.NEWER, True),
    (False, False, False): (Stays.NEWER, False),
    (False, False, True): (Stays.NEWER, True),
    (False, True, False): (Stays.OLDER, True),
    (False, True, True): (Stays.NEWER, True),
}


@pytest.mark.parametrize(("case", "verdict"), SIMULTANEOUS.items())
def test_two_connections_that_began_before_either_was_established(
    case: tuple[bool, bool, bool], verdict: tuple[Stays, bool]
) -> None:
    smaller, older, newer = case
    pair = Duplicates(dialled=newer, same_dialler=older == newer, smaller=smaller, follows=False)
    assert judge(pair) == verdict


@pytest.mark.parametrize("smaller", [False, True])
@pytest.mark.parametrize("same_dialler", [False, True])
def test_a_remote_that_dials_again_while_connected_replaces_its_connection(
    smaller: bool, same_dialler: bool
) -> None:
    """The newer connection stays if the existing one has carried bytes both ways."""
    pair = Duplicates(dialled=False, same_dialler=same_dialler, smaller=smaller, follows=True)
    assert judge(pair) == (Stays.NEWER, True)
