"""The rule for two connections of one peer. Source: hyperswarm 4.17.2, `_handleServerConnection`."""

from __future__ import annotations

from ..duplicates import Duplicates, Stays, Verdict


def judge(pair: Duplicates) -> Verdict:
    """Return which of two connections stays.

    The newer one stays if the older one was established before the newer one began. Otherwise, the
    connection that the larger key dialled stays.
    """
    if pair.dialled:
        return Verdict(Stays.NEWER, ours=pair.same_dialler or not pair.smaller)
    if pair.follows or pair.same_dialler or pair.smaller:
        return Verdict(Stays.NEWER, ours=pair.follows or not pair.same_dialler)
    return Verdict(Stays.OLDER, ours=True)
