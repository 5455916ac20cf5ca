"""Facts that hold for every wire's rule for duplicates."""

from __future__ import annotations

import itertools

import pytest

from peersockets_core import WIRES, WireName
from peersockets_core.wires.duplicates import Duplicates, Stays
from peersockets_core.wires.table import KINDS


@pytest.mark.parametrize("wire", WIRES)
def test_two_sides_never_both_leave_the_end_to_the_other(wire: WireName) -> None:
    """At least one side ends the connection that goes."""
    judge = KINDS[wire].judge
    for dialled, same_dialler, smaller in itertools.product((False, True), repeat=3):
        there = Duplicates(dialled=not dialled, same_dialler=same_dialler, smaller=not smaller, follows=False)
        for follows in (False, not dialled):
            here = Duplicates(dialled=dialled, same_dialler=same_dialler, smaller=smaller, follows=follows)
            verdicts = judge(here), judge(there)
            assert any(verdict.ours for verdict in verdicts), (wire, here)


@pytest.mark.parametrize("wire", WIRES)
def test_a_remote_that_knows_the_order_replaces_its_connection(wire: WireName) -> None:
    for smaller in (False, True):
        pair = Duplicates(dialled=False, same_dialler=True, smaller=smaller, follows=True)
        if KINDS[wire].judge(pair).stays is not Stays.LIVELIER:
            assert KINDS[wire].judge(pair) == (Stays.NEWER, True)
