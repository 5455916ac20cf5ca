"""The script of pages, in Node: `tests/browser` runs it in browsers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[2] / "browser" / "script.test.js"


def test_the_script_reads_and_writes_frames_as_specified() -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", str(TESTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
