"""The generated bindings of libsodium."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from core.crypto.bindings import generate
from peersockets_core.crypto import bindings


def test_the_generated_module_matches_the_declarations() -> None:
    assert Path(bindings.__file__).read_text() == generate()


def test_starting_a_command_loads_no_c_parser() -> None:
    """The parser would take 30 ms and 2 MiB at each start of a command."""
    program = "import sys, peersockets_trio; print(*sorted({'cffi', 'pycparser'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"\n"
