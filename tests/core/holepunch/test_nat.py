"""Classifying a NAT from samples: the verdicts match those of hyperdht's own class, sample by sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peersockets_core.holepunch import Firewall, NatClassifier

RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("nat.json").read_text())
HERE, THERE = "88.0.0.1", "88.0.0.2"


def witness(number: int) -> tuple[str, int]:
    return "99.0.0.1", 1 + number


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{len(case['samples'])} samples")
def test_the_verdicts_of_the_reference(case: dict[str, Any]) -> None:
    """tests/interop/hyperswarm/record-nat.js makes the tables."""
    nat = NatClassifier()
    decided = False
    for index, ((host, port, seen_by), verdict) in enumerate(
        zip(case["samples"], case["verdicts"], strict=True)
    ):
        nat.add((host, port), witness(seen_by))
        if index + 1 == case["frozenAfter"]:
            nat.frozen = True
        decided = decided or nat.decided
        assert nat.firewall == verdict["firewall"]
        assert [list(address) for address in nat.addresses] == verdict["addresses"]
        assert decided == verdict["resolved"]


def test_the_tables_hold_every_verdict() -> None:
    verdicts = [verdict for case in RECORDED for verdict in case["verdicts"]]
    assert {verdict["firewall"] for verdict in verdicts} == set(Firewall) - {Firewall.OPEN}
    assert {len(verdict["addresses"]) for verdict in verdicts} >= {0, 1, 2, 3}


def classified(*samples: tuple[str, int]) -> NatClassifier:
    nat = NatClassifier()
    for number, sample in enumerate(samples):
        nat.add(sample, witness(number))
    return nat


def test_a_nat_with_one_port_for_all_remotes_is_consistent() -> None:
    nat = classified((HERE, 7), (HERE, 7), (HERE, 7))
    assert (nat.firewall, nat.addresses, nat.decided) == (Firewall.CONSISTENT, ((HERE, 7),), True)


def test_a_nat_with_a_port_for_each_remote_is_random_and_only_its_host_is_known() -> None:
    nat = classified((HERE, 7), (HERE, 8), (HERE, 9))
    assert (nat.firewall, nat.addresses, nat.decided) == (Firewall.RANDOM, ((HERE, 0),), False)


def test_a_nat_with_two_hosts_of_one_port_each_is_consistent() -> None:
    nat = classified((HERE, 7), (THERE, 8), (HERE, 7), (THERE, 8))
    assert (nat.firewall, nat.addresses) == (Firewall.CONSISTENT, ((HERE, 7), (THERE, 8)))


def test_a_witness_counts_once() -> None:
    nat = NatClassifier()
    for _ in range(5):
        nat.add((HERE, 7), witness(0))
    assert (nat.firewall, nat.sampled) == (Firewall.UNKNOWN, 1)
