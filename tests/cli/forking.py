"""Commands as processes that are forked from one that has loaded them, because loading takes long.

That process is started once for each process of tests. Run as a program, this module is it.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from typing import IO, Final, NoReturn

_READ: Final = 1 << 16
_LOADED: Final = ("peersockets_command", "peersockets_trio.cli", "peersockets_trio.runtime.swarm_runtime")


def run_forked(
    arguments: Sequence[str | bytes], stdin: bytes | IO[bytes] | int, seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end. Raises `subprocess.TimeoutExpired` if that takes too long."""
    theirs: list[int] = []
    given = -1
    if isinstance(stdin, bytes):
        source, given = os.pipe()
        theirs.append(source)
    elif stdin == subprocess.DEVNULL:
        source = os.open(os.devnull, os.O_RDONLY)
        theirs.append(source)
    else:
        source = stdin if isinstance(stdin, int) else stdin.fileno()
    output, out = os.pipe()
    errors, err = os.pipe()
    report, status = os.pipe()
    words = [os.fsdecode(argument) for argument in arguments]
    request = {"arguments": words, "environment": dict(os.environ), "folder": os.getcwd()}
    socket.send_fds(_server(), [json.dumps(request).encode()], [source, out, err, status])
    for descriptor in (*theirs, out, err, status):
        os.close(descriptor)
    written = stdin if isinstance(stdin, bytes) else b""
    ends = _Ends(given, written, (output, errors, report))
    try:
        stdout, stderr, reported = ends.communicate(seconds)
    except TimeoutError:
        os.kill(int(ends.received[report].split()[0]), signal.SIGKILL)
        raise subprocess.TimeoutExpired([*arguments], seconds) from None
    finally:
        ends.close()
    return subprocess.CompletedProcess([*arguments], int(reported.split()[1]), stdout, stderr)


class _Ends:
    """Our ends of a command's pipes."""

    def __init__(self, given: int, unwritten: bytes, read: tuple[int, ...]) -> None:
        self.received = dict.fromkeys(read, b"")
        self._given = given
        self._unwritten = memoryview(unwritten)
        self._waiting = selectors.DefaultSelector()
        for descriptor in read:
            self._waiting.register(descriptor, selectors.EVENT_READ)
        if given >= 0:
            os.set_blocking(given, False)
            self._waiting.register(given, selectors.EVENT_WRITE)

    def communicate(self, seconds: float) -> list[bytes]:
        """Write and read everything; returns the bytes read. Raises `TimeoutError`."""
        until = time.monotonic() + seconds
        while self._waiting.get_map():
            ready = self._waiting.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                (self._write if key.fd == self._given else self._read)(key.fd)
        return list(self.received.values())

    def close(self) -> None:
        for key in list(self._waiting.get_map().values()):
            self._end(key.fd)
        self._waiting.close()

    def _write(self, descriptor: int) -> None:
        try:
            self._unwritten = self._unwritten[os.write(descriptor, self._unwritten[:_READ]) :]
        except BrokenPipeError:  # the command does not read to the end
            self._unwritten = memoryview(b"")
        if not self._unwritten:
            self._end(descriptor)

    def _read(self, descriptor: int) -> None:
        data = os.read(descriptor, _READ)
        self.received[descriptor] += data
        if not data:
            self._end(descriptor)

    def _end(self, descriptor: int) -> None:
        self._waiting.unregister(descriptor)
        os.close(descriptor)


_servers: dict[str, socket.socket] = {}
_lock = threading.Lock()


def _server() -> socket.socket:
    """Return the way to the process that forks, which is started for the first command."""
    with _lock:
        if not _servers:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
                )
            _servers["of this process"] = ours
            atexit.register(process.wait)
            atexit.register(ours.close)
        return next(iter(_servers.values()))


def _serve(requests: socket.socket) -> None:
    """Fork for each request, until nobody can ask any more."""
    for name in _LOADED:
        import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that watch are nobody's concern
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 4)
        if not data:
            return
        if not os.fork():
            requests.close()
            _watch(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(request: dict[str, object], descriptors: list[int]) -> NoReturn:
    """Run a command in a process of its own, and report its number and its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, report = descriptors
    command = os.fork()
    if not command:
        os.close(report)
        _be(request, streams)
    for descriptor in streams:
        os.close(descriptor)
    os.write(report, b"%d " % command)
    _, status = os.waitpid(command, 0)
    os.write(report, b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _be(request: dict[str, object], streams: list[int]) -> NoReturn:
    """Be the command."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    arguments, environment, folder = request["arguments"], request["environment"], request["folder"]
    assert isinstance(arguments, list)
    assert isinstance(environment, dict)
    assert isinstance(folder, str)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["peersockets", *arguments]
    import peersockets_command

    status: object = 1
    try:
        peersockets_command.main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
