"""Record all sessions again, and show how they differ from the stored traces.

Run it with `make traces`. Names on the command line select sessions. It exits with 1 if anything has changed
or is new; the files are then the new ones.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from peersockets_core.trace import read, write
from traces.record import handshakes
from traces.record.sessions import lines, record

TRACES = Path(__file__).parents[1]


def main(names: list[str]) -> int:
    changed = 0
    for name, trace in record(names):
        path = TRACES / f"{name}.cbor"
        old = lines(read(path.read_bytes())) if path.exists() else []
        difference = list(difflib.unified_diff(old, lines(trace), path.name, "recorded now", n=1))
        print(f"{name}: {'differs' if difference and old else 'new' if difference else 'the same'}")
        if difference:
            path.write_bytes(write(trace))
            changed += 1
        if old:
            print("".join(difference), end="")
    for name, data in handshakes.record(names):
        path = handshakes.FOLDER / f"{name}.cbor"
        same = path.exists() and path.read_bytes() == data
        print(f"{name}: {'the same' if same else 'differs' if path.exists() else 'new'}")
        if not same:
            path.write_bytes(data)
            changed += 1
    return int(changed > 0)


sys.exit(main(sys.argv[1:]))
