"""Every Python example of the documentation runs as a program of its own, and all links work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.markdown import BLOCKS, PAGES, Block

PROGRAMS = [block for block in BLOCKS if block.language == "python" and " " not in block.mark]
RUN = {"console", "js", "python"}


def test_no_block_is_left_out() -> None:
    assert not [block for block in BLOCKS if block.language in RUN and not block.mark]


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.id)
def test_example_runs(block: Block, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(block.code)
    command = [sys.executable, "-W", "error", str(script)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
