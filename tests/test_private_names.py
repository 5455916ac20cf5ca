"""No module uses another module's names that begin with an underscore, in the packages and in the tests.

Tests use names without one, and `peersockets_trio.testing.internals`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

FOREIGN: Final = {"os._exit", "nacl._sodium"}
"""Names of others that have no substitute without an underscore."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def defined(tree: ast.AST) -> set[str]:
    """Return the names that a module's classes define: methods, fields, and attributes assigned to `self`."""
    names: set[str] = set()
    for definition in ast.walk(tree):
        if not isinstance(definition, ast.ClassDef):
            continue
        for node in ast.walk(definition):
            match node:
                case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.Name(name, ast.Store()):
                    names.add(name)
                case ast.Attribute(ast.Name("self" | "cls"), name, ast.Store()):
                    names.add(name)
    return names


def uses(code: str) -> Iterator[str]:
    """Yield the uses of other modules' private names."""
    tree = ast.parse(code)
    ours = defined(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("self" | "cls")):
                pass
            case ast.Attribute(_, name) if is_private(name) and name not in ours:
                if (used := ast.unparse(node)) not in FOREIGN:
                    yield f"line {node.lineno}: {used}"
            case ast.ImportFrom():
                yield from (
                    f"line {node.lineno}: import {alias.name}"
                    for alias in node.names
                    if is_private(alias.name)
                )


def files() -> list[Path]:
    found = [
        path
        for folder in ("src", "tests", "fuzz", "benchmarks", "examples", "docs")
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts
    ]
    return sorted(found)


def test_no_file_uses_anothers_private_names() -> None:
    found = {
        str(path.relative_to(ROOT)): used for path in files() if (used := list(uses(path.read_text("utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("node._runtime", ["line 1: node._runtime"]),
        ("def f(node):\n    return node.peers[0]._link.x", ["line 2: node.peers[0]._link"]),
        ("from trio import _core", ["line 1: import _core"]),
        ("class A:\n    def f(self, other):\n        return self._x + other._x", ["line 3: other._x"]),
        ("class A:\n    _x: int\n    def f(self, other):\n        return other._x", []),
        ("class A:\n    def __init__(self):\n        self._x = 1\ndef f(a):\n    return a._x", []),
        ("class A:\n    def _x(self): ...\ndef f(a):\n    return a._x()", []),
        ("x.__class__", []),
        ("import os\nos._exit(0)", []),
    ],
)
def test_it_finds_uses(code: str, used: list[str]) -> None:
    assert list(uses(code)) == used
