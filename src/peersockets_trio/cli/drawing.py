"""`Drawing`: the lines above the input line of a terminal, which the line editor's thread draws."""

from __future__ import annotations

import os
import sys
from collections import deque
from typing import Any, Final, TypeAlias

from prompt_toolkit import Application
from prompt_toolkit.data_structures import Size

from .page import Page, broken
from .streams import write_all
from .text import printable

App: TypeAlias = Application[Any]
"""The application of prompt_toolkit that draws the input line."""

_WIDTH: Final = 80
_HEIGHT: Final = 24


def terminal_size() -> Size:
    """Return the size of the terminal. Raises `OSError` if it has gone."""
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    return Size(rows=lines or _HEIGHT, columns=columns or _WIDTH)  # some terminals report no size


def _size_or_default() -> Size:
    try:
        return terminal_size()
    except OSError:
        return Size(rows=_HEIGHT, columns=_WIDTH)


class Drawing:
    """The lines that are drawn above the input line, and those that wait for it. Any thread may add lines."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str]] = deque()  # the mark that stands out, and the rest of the line
        self._encoding = sys.stdout.encoding
        self._page = Page(coloured=not os.environ.get("NO_COLOR"))
        self._columns = _size_or_default().columns  # as of the latest drawing

    def __len__(self) -> int:
        """Return the number of lines that wait to be drawn."""
        return len(self._waiting)

    def add(self, mark: str, text: str) -> None:
        """Add a line; its beginning, `mark`, stands out."""
        self._waiting.append((printable(mark), printable(text)))

    def show(self) -> None:
        """Draw the waiting lines at the cursor, where there is no input line."""
        drawn: list[str] = []
        while self._waiting:
            drawn += self._page.add(*self._waiting.popleft(), self._columns)
        self._draw(drawn)

    def show_above(self, app: App) -> None:
        """Draw the waiting lines above the input line."""
        # Do not use run_in_terminal: it gives the terminal back for a moment, in which typed text is echoed
        # between the lines, and Ctrl-D gets lost.
        self.adapt(app)
        if app.is_running:
            app.renderer.erase()
        self.show()
        app.invalidate()

    def leave(self) -> None:
        """Draw the waiting lines, and forget all of them, because the shell writes below them."""
        self.show()
        self._page.clear()

    def adapt(self, app: App) -> None:
        """Draw everything again if the terminal has become narrower, which may have broken rows into several.

        If it has become wider, drawing the input line again is enough.
        """
        size = _size_or_default()
        before, self._columns = self._columns, size.columns
        if size.columns >= before:
            return
        app.output.cursor_up(_rows_gained(app, size.columns) + self._page.height(size.columns))
        app.renderer.erase()
        self._draw(self._page.redraw(size.columns, size.rows - 1))

    def _draw(self, drawn: list[str]) -> None:
        if drawn:
            write_all("\n".join((*drawn, "")).encode(self._encoding, "backslashreplace"))


def _rows_gained(app: App, columns: int) -> int:
    """Return the rows that the input line above the cursor has gained if the terminal breaks rows."""
    screen = app.renderer.last_rendered_screen
    if screen is None:
        return 0
    cursor = screen.get_cursor_position(app.layout.current_window)
    above = ("".join(char.char for _, char in sorted(screen.data_buffer[y].items())) for y in range(cursor.y))
    return sum(broken(row.rstrip(), columns) - 1 for row in above) + cursor.x // columns
