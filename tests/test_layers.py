"""Rules for imports in both packages and the command: `LAYERS`, and the tests that enforce it.

A module imports from layers below its own, and from its own room. Rooms on one layer do not know each other.
Imports form no circle, and imports only for a type checker count like all others.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, TypeAlias

import pytest

SOURCE: Final = Path(__file__).parents[1] / "src"
CORE: Final = "peersockets_core"
TRIO: Final = "peersockets_trio"
ASYNCIO: Final = "peersockets_asyncio"

Layer: TypeAlias = Mapping[str, tuple[str, ...]]
"""Rooms of one layer, and the modules in each. `*` stands for all modules of a folder and its subfolders,
except those that another entry names more precisely.
"""


def modules(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names)


LAYERS: Final[tuple[Layer, ...]] = (  # the bottom first
    {
        "vocabulary": modules(
            CORE, "address", "bounds", "buffer", "errors", "events", "info", "keys", "lateness", "limits",
            "memory", "outbox", "owners", "secret", "transitions", "work",
        ),
    },
    {"crypto": (f"{CORE}.crypto", f"{CORE}.crypto.*")},
    {
        "wires": (
            f"{CORE}.wires",
            *modules(f"{CORE}.wires", "duplicates", "extensions", "heads", "keys", "pieces", "setup"),
        ),
    },
    {
        "hypercore9": (f"{CORE}.wires.hypercore9", f"{CORE}.wires.hypercore9.*"),
        "hypercore11": (f"{CORE}.wires.hypercore11", f"{CORE}.wires.hypercore11.*"),
    },
    {"table of wires": modules(f"{CORE}.wires", "table", "wire")},
    {"connection": (f"{CORE}.checks", f"{CORE}.connection", f"{CORE}.connection_*")},
    {
        "topics": (f"{CORE}.topics", f"{CORE}.topics.*"),
        "trace": (f"{CORE}.trace", f"{CORE}.trace.*"),
        "holepunch": (f"{CORE}.holepunch", f"{CORE}.holepunch.*"),
        "udx": (f"{CORE}.udx", f"{CORE}.udx.*"),
        "dht-rpc": (f"{CORE}.dht.rpc", f"{CORE}.dht.rpc.*"),
    },
    {"dht": (f"{CORE}.dht", f"{CORE}.dht.*")},
    {"swarm": (f"{CORE}.swarm", f"{CORE}.swarm.*")},
    {"core": (CORE,)},
    {"facts": modules(TRIO, "instruments"), "asyncio": (ASYNCIO, f"{ASYNCIO}.*")},
    {
        "tools": (
            f"{TRIO}.runtime",
            *modules(
                f"{TRIO}.runtime", "addresses", "background", "bootstrap", "closing", "flusher",
                "affinity", "direct", "memory", "slots", "state",
            ),
        ),
    },
    {"udp": (f"{TRIO}.udp", f"{TRIO}.udp.*")},
    {"runtime": (f"{TRIO}.runtime.*",)},
    {"objects": modules(TRIO, "drive", "node", "reconnect", "requests", "swarm", "topic", "watch")},
    {"trio": (TRIO,)},
    {"browser": (f"{TRIO}.browser", f"{TRIO}.browser.*")},
    {"testing": (f"{TRIO}.testing", f"{TRIO}.testing.*"), "cli": (f"{TRIO}.cli", f"{TRIO}.cli.*")},
    {"command": ("peersockets_command",)},
)  # fmt: skip

PLACES: Final[dict[str, tuple[int, str]]] = {
    pattern: (height, room)
    for height, layer in enumerate(LAYERS)
    for room, patterns in layer.items()
    for pattern in patterns
}


def find_modules(source: Path) -> dict[str, Path]:
    """All modules under a source folder, by their dotted names."""
    found = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, known: Mapping[str, Path]) -> set[str]:
    """Return our modules that a module imports anywhere in its text."""
    path = known[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            origin = ".".join([*parts, *([node.module] if node.module else [])])
            found.update(
                inner if (inner := f"{origin}.{alias.name}") in known else origin for alias in node.names
            )
    return (found & known.keys()) - {name}


def place(name: str) -> tuple[int, str] | None:
    """Return the layer and the room of a module, from the entry that names it most precisely."""
    entries = [pattern for pattern in PLACES if fnmatchcase(name, pattern)]
    return PLACES[max(entries, key=len)] if entries else None


def circles(graph: Mapping[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Yield the modules on each circle of imports: those that reach themselves."""
    reached: dict[str, set[str]] = {}
    for name in graph:
        seen: set[str] = set()
        waiting = list(graph[name])
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting += graph[other]
        reached[name] = seen
    on_circles = {name for name, seen in reached.items() if name in seen}
    while on_circles:
        first = min(on_circles)
        circle = tuple(sorted(other for other in reached[first] if first in reached[other]))
        on_circles -= set(circle)
        yield circle


def faults(source: Path) -> list[str]:
    """Return everything in a source folder that the table forbids."""
    known = find_modules(source)
    graph = {name: imports(name, known) for name in known}
    found = []
    for name, imported in sorted(graph.items()):
        ours = place(name)
        if ours is None:
            found.append(f"{name} is in no layer")
            continue
        for other in sorted(imported):
            theirs = place(other)
            if theirs is not None and theirs != ours and theirs[0] >= ours[0]:
                found.append(f"{name} ({ours[1]}) imports {other} ({theirs[1]})")
    return found + [f"circle: {', '.join(circle)}" for circle in circles(graph)]


def test_modules_import_only_from_below() -> None:
    assert faults(SOURCE) == []


def test_every_entry_of_the_table_names_modules_and_appears_once() -> None:
    known = find_modules(SOURCE)
    assert [pattern for pattern in PLACES if not any(fnmatchcase(name, pattern) for name in known)] == []
    assert len(PLACES) == sum(len(patterns) for layer in LAYERS for patterns in layer.values())


@pytest.mark.parametrize(
    ("path", "line", "fault"),
    [
        pytest.param(
            "peersockets_core/keys.py",
            "from .connection import Connection",
            "peersockets_core.keys (vocabulary) imports peersockets_core.connection (connection)",
            id="upwards",
        ),
        pytest.param(
            "peersockets_core/udx/rtt.py",
            "from ..topics import naming",
            "peersockets_core.udx.rtt (udx) imports peersockets_core.topics.naming (topics)",
            id="sideways",
        ),
        pytest.param(
            "peersockets_core/wires/hypercore9/varint.py",
            "if TYPE_CHECKING:\n    from ..hypercore11.encoding import encode_uint",
            "peersockets_core.wires.hypercore9.varint (hypercore9) imports "
            "peersockets_core.wires.hypercore11.encoding (hypercore11)",
            id="sideways, for a type checker",
        ),
        pytest.param(
            "peersockets_core/errors.py",
            "def late() -> None:\n    import peersockets_trio.node",
            "peersockets_core.errors (vocabulary) imports peersockets_trio.node (objects)",
            id="upwards, within a function",
        ),
        pytest.param(
            "peersockets_trio/requests.py",
            "if TYPE_CHECKING:\n    from .topic import Topic",
            "circle: peersockets_trio.requests, peersockets_trio.topic",
            id="in a circle",
        ),
        pytest.param(
            "peersockets_trio/new.py", "", "peersockets_trio.new is in no layer", id="outside of the table"
        ),
    ],
)
def test_it_finds_an_import(tmp_path: Path, path: str, line: str, fault: str) -> None:
    shutil.copytree(SOURCE, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / path).open("a") as file:
        file.write(f"\n{line}\n")
    assert fault in faults(tmp_path)


# The tests mirror the source

FOLDERS: Final = {CORE: "core", TRIO: "adapter", ASYNCIO: "aio"}

DECLARATIONS: Final = {
    *modules(CORE, "buffer", "errors", "events", "info", "owners", "dht.events", "dht.rpc.events",
             "swarm.events", "udx.errors", "udx.events", "wires.hypercore11.control", "wires.keys",
             "wires.setup", "wires.wire"),
    *modules(TRIO, "runtime.machine", "runtime.task_host", "cli.__main__"),
    *modules(ASYNCIO, "host"),
    "peersockets_command",
}  # fmt: skip
"""Modules with nothing to test by themselves: the tests of all other modules cover their declarations."""


def test_every_module_has_its_tests() -> None:
    tests = Path(__file__).parent
    missing = []
    for name, path in find_modules(SOURCE).items():
        if path.name == "__init__.py" or name in DECLARATIONS:
            continue
        parts = path.relative_to(SOURCE).parts
        folder = () if parts[1] == "cli" else (FOLDERS[parts[0]],)
        mirror = tests.joinpath(*folder, *parts[1:]).with_name(f"test_{path.name}")
        if not mirror.exists():
            missing.append(str(mirror.relative_to(tests)))
    assert missing == []


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("__init__.py")), ids=lambda path: str(path.parent.relative_to(SOURCE))
)
def test_every_room_states_its_purpose(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_declaration_is_a_module() -> None:
    assert find_modules(SOURCE).keys() >= DECLARATIONS
