"""The blocks of the documentation that are marked as examples.

A comment above a fenced block marks it, and says how it is run:

    <!-- example: NAME -->                      Python that runs by itself
    <!-- example: file FILE -->                 a program that sessions run, under that name
    <!-- example: session SESSION/TERMINAL -->  what a terminal shows: commands behind "$ ", and their output
    <!-- example: snippet NAME -->              JavaScript for an application that exists
    <!-- example: module NAME -->               the same, in the README of the JavaScript module
    <!-- example: bytes NAME -->                bytes of the wire, in hex
    <!-- not run: REASON -->                    what a test cannot run
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]
MODULE: Final = ROOT / "javascript" / "README.md"
PAGES: Final = [ROOT / "README.md", MODULE, *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"(?:<!-- (?:example: |(?=not run: ))([^>\n]+) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


@attrs.frozen
class Block:
    """One fenced block."""

    page: Path
    mark: str
    """Return the text of the comment, or nothing."""
    language: str
    code: str

    @property
    def id(self) -> str:
        return f"{self.page.stem}-{self.mark}"

    def marked(self, kind: str) -> str:
        """Return the text behind `kind` in the mark, or nothing for another kind."""
        first, _, rest = self.mark.partition(" ")
        return rest if first == kind else ""


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for mark, language, code in _BLOCK.findall(page.read_text()):
            yield Block(page, mark, language, code)


BLOCKS: Final = list(blocks())
