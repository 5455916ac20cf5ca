"""Two connections with a real peer, in every order: one stays, and the peer is never seen to leave."""

import subprocess
import sys
from pathlib import Path

import pytest

from interop import orders
from network_namespace import UNSHARE

pytestmark = pytest.mark.interop


@pytest.mark.slow
def test_every_order_of_dialling_and_of_keys() -> None:
    """The first connection is alive, or cut without a sign. Then the peer comes back and has forgotten it."""
    program = Path(orders.__file__)
    played = subprocess.run(
        [*UNSHARE, sys.executable, program], stdout=subprocess.PIPE, text=True, timeout=600, check=False
    )
    assert played.returncode == 0, played.stdout
    assert len(played.stdout.splitlines()) == 1 + len(orders.ORDERS)
