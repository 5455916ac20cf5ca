"""The entry point of the command `peersockets`, which handles signals before the slow imports.

The imports take a good part of a second. A signal during that time ends the process at once, without a
traceback.
"""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: os._exit(128 + number))
    from peersockets_trio.cli import main as run

    run()


if __name__ == "__main__":
    main()
