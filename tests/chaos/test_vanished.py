"""Lines that go dead without a sign, in a network namespace of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaos import vanishing
from network_namespace import UNSHARE


@pytest.mark.slow
def test_vanished_peers_leave_and_silent_ones_stay() -> None:
    """Peers on both wires vanish, with keepalives and without. Unacknowledged messages are reported as
    unsent.
    """
    program = Path(vanishing.__file__)
    played = subprocess.run(
        [*UNSHARE, sys.executable, program], stdout=subprocess.PIPE, text=True, timeout=120, check=True
    )
    alive, *left = map(json.loads, played.stdout.splitlines())
    assert alive == {"heard": ["still there?"] * len(vanishing.PEERS), "members": len(vanishing.PEERS)}
    assert {line["left"]: line["reason"] for line in left} == {
        "hypercore9": "nothing received for 2 seconds",
        "hypercore11": "nothing received for 2 seconds",
        "hypercore11 without keepalives": "nothing received or acknowledged for 3 seconds",
    }
    assert min(line["unsent"] for line in left) >= vanishing.SIZE
