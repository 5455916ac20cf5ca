"""The generated bindings of libsodium."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from core.crypto.bindings import generate
from peersockets_core.crypto import bindings


def test_they_are_what_is_generated_from_the_declarations() -> None:
    assert Path(bindings.__file__).read_text() == generate()


def test_no_parser_of_c_is_loaded() -> None:
    """It takes 30 ms and 2 MiB at each start of a command."""
    program = "import sys, peersockets_trio; print(*sorted({'cffi', 'pycparser'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"\n"
