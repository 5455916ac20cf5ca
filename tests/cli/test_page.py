"""`peersockets_trio.cli.page`: the lines above the input line, drawn at one width and then at another."""

from __future__ import annotations

from peersockets_trio.cli.page import Page, broken


def test_a_page_knows_its_height_at_another_width_and_is_wrapped_again() -> None:
    page = Page(coloured=False)
    assert page.add("*", "x" * 18, 20) == ["* " + "x" * 18]
    assert page.add("1:", "日本語" * 5, 20) == ["1: 日本語日本語日本", "    語日本語日本語"]
    assert page.height(20) == 3
    assert page.height(10) == 2 + 2 + 2
    assert page.redraw(10, 99) == [
        "* xxxxxxxx",
        "    xxxxxx",
        "    xxxx",
        "1: 日本語",
        "    日本語",
        "    日本語",
        "    日本語",
        "    日本語",
    ]
    assert page.redraw(10, 2) == ["    日本語", "    日本語"]
    assert page.height(10) == 8
    page.clear()
    assert (page.height(10), page.redraw(10, 99)) == (0, [])


def test_a_mark_is_coloured_at_every_width() -> None:
    page = Page(coloured=True)
    drawn = page.add("*", "text", 20)
    assert drawn == ["\x1b[1m*\x1b[0m text"]
    assert page.redraw(5, 9)[0].startswith("\x1b[1m*\x1b[0m ")


def test_rows_that_a_terminal_wraps() -> None:
    assert [broken(row, 10) for row in ("", "x" * 10, "x" * 11, "日" * 5, "x" + "日" * 5)] == [1, 1, 2, 1, 2]
    assert broken("e\u0301" * 10, 10) == 1
