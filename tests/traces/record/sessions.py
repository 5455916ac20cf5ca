"""Sessions of two JavaScript peers, as the scripts in this folder play and report them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from peersockets_core.trace import Command, Entry, Report, Secrets, Sent, Trace, said
from peersockets_core.trace.entries import ENTRIES
from peersockets_core.trace.recording import digested

SCRIPTS = sorted(Path(__file__).parent.glob("hypercore*.js"))

_KINDS = {entry.kind: entry for entry in ENTRIES}
_HEX = {"key", "discoveryKey", "payload", "remotePublicKey", "handshakeHash"}


def record(names: list[str]) -> Iterator[tuple[str, Trace]]:
    """Play the sessions of these names, or all. Yield the name and the trace of each."""
    for script in SCRIPTS:
        wanted = [name for name in names if name.startswith(script.stem)]
        if names and not wanted:
            continue
        with subprocess.Popen(["node", str(script), *wanted], stdout=subprocess.PIPE, text=True) as node:
            assert node.stdout is not None
            for line in node.stdout:
                session = json.loads(line)
                yield session["name"], _trace_of(session)
        if node.returncode:
            raise SystemExit(f"{script.name} ended with status {node.returncode}")


def _trace_of(session: dict[str, Any]) -> Trace:
    secrets = {side: {k: bytes.fromhex(v) for k, v in s.items()} for side, s in session["secrets"].items()}
    return Trace(
        wire=session["wire"],
        shows=session["shows"],
        produced_by=session["producedBy"],
        comparison=session["comparison"],
        secrets={side: Secrets(**given) for side, given in secrets.items()},
        entries=list(map(_entry_of, session["entries"])),
    )


def _entry_of(item: dict[str, Any]) -> Entry:
    side = item.pop("side")
    if "sent" in item:
        return Sent(side, digested(bytes.fromhex(item["sent"])))
    for key in ("command", "event"):
        if key in item:
            cls = _KINDS[key, item.pop(key)]
            break
    else:
        cls = _KINDS[next(iter(item)), None]
    fields = {name: bytes.fromhex(v) if name in _HEX and v is not None else v for name, v in item.items()}
    return cls(side, **{re.sub("[A-Z]", lambda m: "_" + m[0].lower(), name): v for name, v in fields.items()})


def lines(trace: Trace) -> list[str]:
    """Return everything that has to be the same the next time.

    A hyperdrive waits for its disk, so its messages about data, and the frames they are in, differ from run
    to run. Replaying leaves them out, and so does this.
    """
    things: list[object] = [attrs.evolve(trace, entries=[])]
    if trace.comparison == "bytes":
        things += trace.entries
    else:
        for side in trace.secrets:
            things += [e for e in trace.entries if isinstance(e, Command | Report) and e.side == side]
            messages = said(trace, side)
            if trace.comparison == "channels":
                messages.sort(key=lambda message: str(message.order))
            things += [f"{side} said {message}" for message in messages]
    return [f"{thing}\n" for thing in things]
