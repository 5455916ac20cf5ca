"""The entry point of the command `peersockets`, which handles signals before the slow imports.

The imports take a good part of a second. A signal during that time ends the process at once, without a
traceback.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from typing import Final

_NEEDED: Final = ("trio", "click", "prompt_toolkit")
"""The packages of the extra `cli`."""


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: os._exit(128 + number))
    try:
        from peersockets_trio.cli import main as run
    except ImportError:
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if not missing:
            raise
        sys.exit(f"peersockets: the command line needs {missing[0]}: pip install 'peersockets[cli]'")
    run()


if __name__ == "__main__":
    main()
