"""Run the command line as a module: `python -m peersockets_trio.cli`."""

from . import main

main()
