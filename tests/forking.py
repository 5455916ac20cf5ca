"""Python programs as processes forked from one that has loaded our packages, because loading takes long.

Each process of tests starts that process once. This module is its program. It forks for our command line and
for scripts. A test of how Python starts passes its program with `-c`.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import inspect
import io
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

_COMMAND: Final = ("-m", "peersockets_command")
_LOADED: Final = (
    "asyncio",
    "peersockets_asyncio",
    "peersockets_command",
    "peersockets_trio.cli",
    "peersockets_trio.runtime.swarm_runtime",
)
_ENVIRONMENT: Final = dict(os.environ)
_MAX_REQUEST: Final = 1 << 20
_SET_CHILD_SUBREAPER: Final = 36
_PARAMETERS: Final = inspect.signature(getattr(subprocess.Popen, "_execute_child")).parameters  # noqa: B009

_Request: TypeAlias = dict[str, Any]


class Popen(subprocess.Popen[Any]):
    """A process like those of `subprocess`, except that our programs are forked.

    It is still a child of this process, with a pid, streams, signals and a status.
    """

    def _execute_child(self, *given: Any) -> None:
        """Start it. All of `subprocess`, and everything built on it, calls this."""
        start = dict(zip(list(_PARAMETERS)[1:], given, strict=True))
        request = _request(start) if sys.platform == "linux" else None
        if request is None:
            return super()._execute_child(*given)  # type: ignore[misc,no-any-return]
        streams = [start[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        self.pid = _ask(request, [number if stream < 0 else stream for number, stream in enumerate(streams)])
        self._child_created = True
        return self._close_pipe_fds(  # type: ignore[attr-defined,no-any-return]
            *(start[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )


def _request(start: Mapping[str, Any]) -> _Request | None:
    """Return the words for the process that forks, or None for another program or another kind of start."""
    arguments = start["args"]
    if isinstance(arguments, str | bytes | os.PathLike) or not _is_plain(start):
        return None
    executable, *words = map(os.fsdecode, arguments)
    strict = words[:2] == ["-W", "error"]
    if strict:
        del words[:2]
    if executable != sys.executable or not (tuple(words[:2]) == _COMMAND or words[0].endswith(".py")):
        return None
    environment = dict(os.environ if start["env"] is None else start["env"])
    if _of_python(environment) != _of_python(_ENVIRONMENT):
        return None
    return {
        "program": words,
        "strict": strict,
        "environment": environment,
        "folder": os.fsdecode(start["cwd"] or os.getcwd()),
        "session": start["start_new_session"],
        "group": start["process_group"],
    }


def _is_plain(start: Mapping[str, Any]) -> bool:
    usual = {"executable": None, "preexec_fn": None, "pass_fds": (), "shell": False}
    ours = {"gid": None, "gids": None, "uid": None, "umask": -1, "close_fds": True}
    return all(start[name] == value for name, value in (usual | ours).items())


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what Python reads while it starts."""
    return {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LC_", "LANG"))}


_lock: Final = threading.Lock()
_servers: Final[dict[str, socket.socket]] = {}


def _ask(request: _Request, streams: Sequence[int]) -> int:
    """Return the pid of a new child of ours."""
    with _lock, _adoption():
        server = _servers.get("of this process") or _servers.setdefault("of this process", _start_server())
        socket.send_fds(server, [json.dumps(request).encode()], streams)
        pid = server.recv(8)
        assert pid, "the process that forks has ended"
        return int.from_bytes(pid, sys.byteorder)


@contextmanager
def _adoption() -> Iterator[None]:
    """Become the parent of our descendants whose parent ends."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(_SET_CHILD_SUBREAPER, 0)


def _start_server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=_ENVIRONMENT)
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


# In the process that forks, and in the forked ones:


def _serve(requests: socket.socket) -> _Request | None:
    """Fork for each request. Return it in the process that becomes the program, and None at the end."""
    for name in _LOADED:
        import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        data, streams, _, _ = socket.recv_fds(requests, _MAX_REQUEST, 3)
        if not data:
            return None
        number, write_number = os.pipe()
        gate, open_gate = os.pipe()
        pipes = (number, write_number, gate, open_gate)
        child = os.fork()
        if not child:
            # The parent of the program ends at once, so the process that asked becomes its parent.
            program = os.fork()
            if program:
                os.write(write_number, program.to_bytes(8, sys.byteorder))
                os._exit(0)
            requests.close()
            os.close(open_gate)
            os.read(gate, 1)
            for own, stream in enumerate(streams):
                os.dup2(stream, own)
            os.closerange(3, max(*pipes, *streams) + 1)
            return dict(json.loads(data))
        os.waitpid(child, 0)
        requests.send(os.read(number, 8))
        for descriptor in (*pipes, *streams):
            os.close(descriptor)


def _become(request: _Request) -> None:
    """Run as the program."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if request["session"]:
        os.setsid()
    if request["group"] >= 0:
        os.setpgid(0, request["group"])
    if request["strict"]:
        warnings.simplefilter("error")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        _open_stream(number, name)
    kind, *words = request["program"]
    if kind == "-m":
        name, *words = words
        sys.argv = [name, *words]
        sys.path[0] = request["folder"]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [kind, *words]
        sys.path[0] = str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


def _open_stream(number: int, name: str) -> None:
    """Open one of the standard streams again, as Python does when it starts."""
    before = getattr(sys, name)
    raw: Any = open(number, "wb" if number else "rb", 0, closefd=False)  # noqa: SIM115
    raw.name = f"<{name}>"
    buffered = not os.environ.get("PYTHONUNBUFFERED")
    buffer = raw if number and not buffered else (io.BufferedWriter if number else io.BufferedReader)(raw)
    stream: Any = io.TextIOWrapper(
        buffer,
        before.encoding,
        before.errors,
        newline="\n",
        line_buffering=buffered and (name == "stderr" or raw.isatty()),
        write_through=not buffered,
    )
    stream.mode = "w" if number else "r"
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    if (request := _serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        _become(request)
