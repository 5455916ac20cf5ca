"""The JavaScript codecs of a wire, run for whole batches of values in one Node process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import attrs

Call: TypeAlias = tuple[object, ...]
"""The codec, the operation and the arguments. `hexed` writes bytes."""


def hexed(data: bytes) -> dict[str, str]:
    """Return bytes in the form that the codecs take and return."""
    return {"hex": data.hex()}


@attrs.frozen
class Refused:
    """The codec raised an error."""

    error: str


class Codecs:
    """One Node process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Return the result of each call, or `Refused`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"id": 1, "command": "run", "calls": calls})
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        results = answer["result"]["results"]
        assert len(results) == len(calls)
        return [Refused(result["error"]) if "error" in result else result["value"] for result in results]

    def one(self, *call: object) -> Any:
        """Return the result of one call, or `Refused`."""
        return self.run([call])[0]


@contextmanager
def open_codecs(generation: str) -> Iterator[Codecs]:
    """Run the codecs of `hypercore9` or `hypercore11` for the length of the block."""
    script = Path(__file__).parent / generation / "codecs.js"
    with subprocess.Popen(["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Codecs(process)
