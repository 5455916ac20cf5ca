"""The core has no I/O, clock or randomness. `tests/test_layers.py` states which modules import which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import peersockets_core

SOURCE = Path(peersockets_core.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

FORBIDDEN = {
    "asyncio", "datetime", "multiprocessing", "os", "random", "secrets", "select", "selectors", "signal",
    "socket", "ssl", "subprocess", "threading", "time", "trio", "uuid", "peersockets_trio",
}  # fmt: skip


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            yield node.module


def mentioned(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias | ast.Name):
            yield node.name if isinstance(node, ast.alias) else node.id


def is_random(name: str) -> bool:
    """Return whether a name of libsodium or PyNaCl draws random bytes."""
    return (
        name in {"random", "randombytes", "urandom", "getrandbits"}
        or name.startswith("randombytes_")
        or name.endswith("_keygen")
        or (name.endswith("_keypair") and not name.endswith("_seed_keypair"))
    )


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_no_io_and_no_clock(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not {module.partition(".")[0] for module in imported(tree)} & FORBIDDEN


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_draws_no_randomness(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not [found for found in mentioned(tree) if is_random(found)]
    assert not [
        module for module in imported(tree) if module in {"nacl.utils", "nacl.public", "nacl.signing"}
    ]


def test_the_public_names_are_all_there() -> None:
    assert sorted(peersockets_core.__all__) == sorted(set(peersockets_core.__all__))
    for public in peersockets_core.__all__:
        assert hasattr(peersockets_core, public)
