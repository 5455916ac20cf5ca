"""Fuzz one harness, or save what it found. See `fuzz`."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import atheris

from . import corpus

BUILD: Final = Path("build/fuzz")
OPTIONS: Final = ("-max_len=4096", "-timeout=10", "-rss_limit_mb=1024")
"""An input of 4 KiB reaches every bound that the harnesses set. `bounded_work` does not see time that C code
wastes; the time limit of one input, in seconds, does. The limit of the resident size covers memory that no
connection holds."""


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz without end, or as `options` instruct libFuzzer."""
    with atheris.instrument_imports(include=["peersockets_core", "peersockets_trio"]):
        harness = importlib.import_module(f"fuzz.harnesses.{name}")
    options = [*OPTIONS, *getattr(harness, "OPTIONS", ()), *options]
    # To merge, libFuzzer runs its own command line again in a shell.
    atheris.Setup([f"{shlex.quote(sys.executable)} -m fuzz {name}", *options], harness.run)
    atheris.Fuzz()


def save(name: str) -> None:
    """Keep the smallest inputs of the saved corpus and the findings that together cover as much. Keep also
    the inputs in a harness's `KEPT`, which show more than coverage counts.
    """
    found, kept = BUILD / name, BUILD / f"{name}.minimised"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    command = [sys.executable, "-m", "fuzz", name, "-merge=1", "-use_value_profile=0", str(kept), str(found)]
    subprocess.run(command, check=True)
    inputs = [path.read_bytes() for path in kept.iterdir()]
    corpus.save(name, [*inputs, *getattr(importlib.import_module(f"fuzz.harnesses.{name}"), "KEPT", ())])


def main(arguments: list[str]) -> None:
    """Run the command line."""
    if not arguments or arguments[0] not in corpus.HARNESSES:
        sys.exit(f"usage: python -m fuzz {{{','.join(corpus.HARNESSES)}}} [--save | libFuzzer options]")
    name, *options = arguments
    if options == ["--save"]:
        save(name)
    elif any(option.startswith("-merge") for option in options):
        fuzz(name, options)
    else:
        folder, crashes = BUILD / name, BUILD / f"{name}.crashes"
        corpus.unpack(name, folder)
        crashes.mkdir(parents=True, exist_ok=True)
        fuzz(name, [f"-artifact_prefix={crashes}{os.sep}", *options, str(folder)])


if __name__ == "__main__":
    main(sys.argv[1:])
