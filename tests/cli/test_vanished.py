"""`--peer-timeout`: the time that a command keeps a peer whose line has gone dead without a sign."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli import vanishing
from cli.support import TIME
from network_namespace import UNSHARE
from peersockets_core import WIRES


@pytest.mark.slow
@pytest.mark.parametrize("wire", WIRES)
def test_the_option_decides_when_a_peer_has_vanished(wire: str) -> None:
    """The event of the leave names the timeout, and counts the accepted bytes that were not acknowledged."""
    command = (*UNSHARE, sys.executable, str(Path(vanishing.__file__)), wire, "--peer-timeout", "15")
    played = subprocess.run(command, capture_output=True, text=True, timeout=TIME, check=False)
    assert played.returncode == 0, played.stderr
    leave = json.loads(played.stdout)
    assert leave["reason"] in (
        "nothing received for 15 seconds",
        "nothing received or acknowledged for 15 seconds",
    )
    assert leave["unsent"] >= vanishing.SIZE
    assert leave["wire"] == wire
