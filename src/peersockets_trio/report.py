"""What a node tells the people who run it, in words."""

from __future__ import annotations

import os


def explain(error: BaseException) -> str:
    """Say in one line why something failed, with the system's reason where there is one."""
    # trio.open_tcp_stream tells which address failed, and has the reason as its cause.
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and cause.errno is not None:
        return f"{error}: {os.strerror(cause.errno)}"
    return str(error)
