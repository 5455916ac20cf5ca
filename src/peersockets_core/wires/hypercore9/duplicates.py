"""The rule for two connections of one peer. Source: hyperswarm 2.15.3, `deduplicate`."""

from __future__ import annotations

from ..duplicates import Duplicates, Stays, Verdict


def judge(pair: Duplicates) -> Verdict:
    """Return which of two connections stays.

    A connection that the smaller key dialled stays. If the smaller key dialled both, the newer one stays. If
    the larger key dialled both, the older one stays, unless it turns out to be dead.
    """
    if pair.dialled != pair.smaller:  # the larger key has dialled the newer one
        return Verdict(Stays.LIVELIER, ours=pair.dialled)
    return Verdict(Stays.NEWER, ours=pair.dialled or not pair.same_dialler or pair.follows)
