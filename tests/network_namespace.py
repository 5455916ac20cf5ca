"""A network namespace of its own for a program that takes interfaces up and down."""

from __future__ import annotations

import os
from typing import Final

UNSHARE: Final = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--net", "--map-root-user")
"""The words before the program's command line."""
