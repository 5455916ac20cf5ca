"""Plain English: programs never "tell", and no sentence begins with "what" or "who" in place of a subject.

Neither does the name of a test, which reads as a sentence.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = (
    "src",
    "tests",
    "fuzz",
    "benchmarks",
    "examples",
    "javascript",
    "docs",
    "newsfragments",
    "README.md",
    "CONTRIBUTING.md",
)
"""The files and folders that are checked."""

FILES = [
    path
    for place in PLACES
    for path in ([ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*")))
    if path.suffix in (".py", ".md", ".js")
    and not {"node_modules", "_build"} & set(path.parts)
    and path != Path(__file__)
]
_TELL = re.compile(r"\b(tells?|told)\b", re.IGNORECASE)
_TELLING_NAME = re.compile(r"(^|_)(tells?|told)(_|$)|^Tell")
_SUBJECTLESS_TEST = re.compile(r"test_(what|whatever|who|whom|whoever|whose)(_|$)")
_SUBJECT = re.compile(r"(What|Whatever|Who|Whom|Whoever|Whose)\b")
_CODE = re.compile(r"`[^`\n]*`")


def faults(text: str) -> list[str]:
    """The sentences of one text that are not plain; names of code in backticks do not count."""
    paragraphs = re.split(r"\n\s*(?:\n|[-*|] )", _CODE.sub("`x`", text))
    sentences = [
        sentence
        for paragraph in paragraphs
        for sentence in re.split(r"(?<=[.!?:])\s+", " ".join(paragraph.split()))
    ]
    return [
        sentence
        for sentence in sentences
        if _TELL.search(sentence) or (_SUBJECT.match(sentence) and not sentence.endswith("?"))
    ]


def texts(path: Path) -> Iterator[str]:
    """The comments of a file, a module's strings of two words or more, and a page without its code."""
    source = path.read_text()
    if path.suffix == ".md":
        page = re.sub(r"^```.*?^```|^<!--.*?-->", "", source, flags=re.DOTALL | re.MULTILINE)
        yield re.sub(r"^#.*?$", "", page, flags=re.MULTILINE)
        yield from re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        return
    if path.suffix == ".js":
        for comment in re.findall(r"(?:^[ \t]*//.*\n)+", source, re.MULTILINE):
            yield re.sub(r"^[ \t]*// ?", "", comment, flags=re.MULTILINE)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.value
    yield from comments(source)


def comments(source: str) -> Iterator[str]:
    """The comments of a module; those on lines of their own, one below the other, are one text."""
    lines: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if lines and token.start[0] != last + 1:
            yield " ".join(lines)
            lines = []
        lines.append(token.string.lstrip("#: "))
        last = token.start[0]
    yield " ".join(lines)


def definitions(source: str) -> Iterator[str]:
    """The names that a module gives to functions, classes, parameters and variables."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                yield name
            case ast.arg(arg):
                yield arg
            case ast.Name(id, ast.Store()) | ast.Attribute(attr=id, ctx=ast.Store()):
                yield id


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_is_plain(path: Path) -> None:
    assert [fault for text in texts(path) for fault in faults(text)] == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix == ".py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_names_are_plain(path: Path) -> None:
    names = list(definitions(path.read_text()))
    assert [name for name in names if _TELLING_NAME.search(name)] == []
    assert [name for name in names if _SUBJECTLESS_TEST.match(name)] == []


def test_names_are_found_wherever_they_are_given() -> None:
    source = (
        "class TellAll:\n  async def tell_it(self, told):\n    for tells, self.told_at in told.telling: pass"
    )
    assert list(filter(_TELLING_NAME.search, definitions(source))) == [
        "TellAll",
        "tell_it",
        "told",
        "tells",
        "told_at",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "It tells the remote.",
        "The remote is told nothing.",
        "What stands behind it is kept.",
        "It ends.\n\nWhoever waits is woken.",
        "A list:\n- What it has",
    ],
)
def test_faults_are_found(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize(
    "text", ["What does it do?", "Call `tell`.", "Return what is left.", "Whether it is."]
)
def test_plain_sentences_pass(text: str) -> None:
    assert not faults(text)


def test_comments_are_read_with_the_lines_below_them() -> None:
    source = 'a = 1  # one\n\n# What it\n# is worth.\nb = "# not one"\n'
    assert list(comments(source)) == ["one", "What it is worth."]
