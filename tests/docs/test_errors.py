"""The page of errors has every class, and only messages of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

import peersockets_core
import peersockets_trio
from docs.markdown import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text()
MESSAGES = [
    message
    for cells in re.findall(r"^\| (`.*?) \|", PAGE.partition("## Connecting")[2], re.MULTILINE)
    for message in re.findall(r"`([^`]+)`", cells)
]


def texts(tree: ast.AST) -> Iterator[str]:
    """Return every string, with "…" for the parts that are filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def in_the_code() -> set[str]:
    return {text for path in (ROOT / "src").rglob("*.py") for text in texts(ast.parse(path.read_text()))}


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_those_of_the_code(message: str, in_the_code: set[str]) -> None:
    shown = re.escape(message).replace("…", ".+")
    assert any(re.fullmatch(shown, text) for text in in_the_code)


def test_every_class_is_explained() -> None:
    for package in (peersockets_core, peersockets_trio):
        for name in package.__all__:
            public = getattr(package, name)
            if isinstance(public, type) and issubclass(public, Exception):
                assert f"| `{name}` |" in PAGE, f"docs/errors.md does not say what to do about {name}"
