"""The cost of an import: modules that must not be loaded, and processor time compared with Trio's."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from typing import Final

import pytest

import peersockets_core

ENVIRONMENT: Final = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def python(code: str) -> str:
    command = (sys.executable, "-c", code)
    return subprocess.run(command, capture_output=True, check=True, text=True, env=ENVIRONMENT).stdout


def processor_time(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_program_without_a_swarm_loads_neither_udx_nor_hyperdht() -> None:
    loaded = python("import peersockets_trio, sys; print(*sys.modules)").split()
    assert "peersockets_core.connection" in loaded
    assert not [name for name in loaded if name.startswith(("peersockets_core.udx", "peersockets_core.dht"))]
    assert python("from peersockets_trio import Swarm; print(Swarm.__name__)") == "Swarm\n"


def test_a_program_loads_only_the_wires_that_it_speaks() -> None:
    connection = "wire='hypercore11', initiator=True, key_pair=KeyPair(bytes(32)), entropy=bytes, now=0"
    loaded = python(
        "import sys; from peersockets_core import Connection, KeyPair; print(*sys.modules); "
        f"Connection({connection}); print(*sys.modules)"
    )
    at_first, at_last = (set(line.split()) for line in loaded.splitlines())
    wires = {f"peersockets_core.wires.{name}.wire" for name in ("hypercore9", "hypercore11")}
    assert not {"peersockets_core.topics.requests", *wires} & at_first
    assert wires & at_last == {"peersockets_core.wires.hypercore11.wire"}


def test_a_program_without_a_key_loads_neither_openssl_nor_libsodium() -> None:
    loaded = python("from peersockets_core import Peersockets; import sys; print(*sys.modules)").split()
    assert "peersockets_core.topics.machine" in loaded
    assert not {"_hashlib", "hashlib", "nacl", "_cffi_backend", "ipaddress"} & set(loaded)


def test_a_program_without_topics_loads_none() -> None:
    loaded = python("import peersockets_core, sys; print(*sys.modules)").split()
    assert "peersockets_core.connection" in loaded
    assert not [name for name in loaded if name.startswith("peersockets_core.topics")]


def test_every_public_name_of_the_core_is_found_and_listed() -> None:
    assert peersockets_core.Message is vars(peersockets_core)["Message"]  # found once
    assert set(peersockets_core.__all__) <= set(dir(peersockets_core))
    assert [name for name in peersockets_core.__all__ if not hasattr(peersockets_core, name)] == []
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = peersockets_core.Nothing  # type: ignore[attr-defined]


def test_a_program_without_requests_loads_no_cbor() -> None:
    loaded = python("import peersockets_trio.swarm, sys; print(*sys.modules)").split()
    assert "peersockets_core.dht" in loaded
    assert not {"cbor2", "peersockets_core.topics.requests", "peersockets_trio.requests"} & set(loaded)
    assert python("from peersockets_trio import Request; print(Request.__name__)") == "Request\n"


def test_a_program_without_a_command_line_loads_none_of_its_libraries() -> None:
    loaded = python("import peersockets_trio.swarm, sys; print(*sys.modules)").split()
    assert not {"click", "prompt_toolkit", "argparse", "peersockets_trio.cli"} & set(loaded)


def test_a_command_without_a_terminal_loads_no_line_editor() -> None:
    loaded = python("import peersockets_trio.cli, sys; print(*sys.modules)").split()
    assert "peersockets_trio.cli.chat" in loaded
    assert not {"prompt_toolkit", "trio.testing"} & set(loaded)


SHARE: Final = 0.5
"""Return an import's share of the time of Trio's. On a machine that imports Trio in 0.1 s, it is 0.05 s."""


def test_imports_take_less_than_half_the_time_of_trios() -> None:
    """Measure the core without Trio, and the adapter beyond Trio: the best times, of as many rounds as
    needed.
    """
    programs = (
        "",
        "import trio",
        "from peersockets_core import Peersockets",
        "import trio, peersockets_trio",
    )
    best = [math.inf] * len(programs)
    for _ in range(20):
        best = [min(time, processor_time(code)) for time, code in zip(best, programs, strict=True)]
        bare, trio, ours, adapter = best
        if max(ours - bare, adapter - trio) < SHARE * (trio - bare):
            return
    raise AssertionError(f"seconds of {programs}: {best}")
