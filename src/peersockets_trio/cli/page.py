"""`Page`: the lines above the input line of a terminal, kept so that they can be drawn again.

A terminal that becomes narrower does one of two things, and does not report which: it cuts rows off, or it
breaks them into several. The number of rows above the cursor is then uncertain. The terminal object erases as
many as there can be, and draws the lines of the page again at the new width.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs
import click

from .text import rows

_MAX_LINES: Final = 500
"""Lines that are kept; that is more than a screen shows."""


@attrs.define
class _Line:
    mark: str
    text: str
    rows: list[str] = attrs.field(factory=list)
    """The rows as they were drawn."""

    def cut(self, columns: int) -> None:
        self.rows = rows(self.text, columns)

    def drawn(self, coloured: bool) -> list[str]:
        first, *others = self.rows
        if coloured and self.mark and first.startswith(self.mark):
            first = click.style(self.mark, bold=True) + first[len(self.mark) :]
        return [first, *others]


class Page:
    """The latest lines that were drawn above the input line."""

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured
        self._lines: deque[_Line] = deque(maxlen=_MAX_LINES)

    def add(self, mark: str, text: str, columns: int) -> list[str]:
        """Add a line; returns its rows. Its beginning, `mark`, stands out."""
        line = _Line(mark, f"{mark} {text}" if mark else text)
        line.cut(columns)
        self._lines.append(line)
        return line.drawn(self._coloured)

    def height(self, columns: int) -> int:
        """Return the number of rows that the page takes where a terminal of this width breaks rows."""
        return sum(broken(row, columns) for line in self._lines for row in line.rows)

    def redraw(self, columns: int, height: int) -> list[str]:
        """Cut all lines again. Return the last rows, as many as fit."""
        drawn: list[str] = []
        for line in self._lines:
            line.cut(columns)
            drawn += line.drawn(self._coloured)
        return drawn[-height:]

    def clear(self) -> None:
        """Forget the lines, because something else has been written below them."""
        self._lines.clear()


def broken(row: str, columns: int) -> int:
    """Return the number of rows that a terminal of this width makes of a row."""
    return len(rows(row, columns, indent=""))
