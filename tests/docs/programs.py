"""Writes the Python of the documentation into a folder, one file a block, for `mypy` and `pyright`.

    python -m docs.programs FOLDER

`make check` runs it. Every block is a whole program, but the five lines at the top of the README, which stand
in a function here.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Final

from docs.markdown import BLOCKS, Block

FIVE_LINES: Final = "swarm five"

PROGRAM: Final = """\
import trio
from peersockets_trio import open_node


async def main() -> None:
{lines}

trio.run(main)
"""


def program(block: Block) -> str:
    """Return the program that a block is, or into which its lines fit."""
    if block.mark == FIVE_LINES:
        return PROGRAM.format(lines=textwrap.indent(block.code, "    "))
    return block.code


def file_name(block: Block) -> str:
    """Return the name of a block's file, which is the name of a module."""
    return re.sub(r"\W", "_", f"{block.page.stem} {block.mark.removesuffix('.py')}") + ".py"


def write_programs(folder: Path) -> list[Path]:
    """Write all of them into a folder of their own. Return the files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = []
    for block in BLOCKS:
        if block.language == "python":
            paths.append(folder / file_name(block))
            paths[-1].write_text(program(block))
    return paths


if __name__ == "__main__":
    write_programs(Path(sys.argv[1]))
