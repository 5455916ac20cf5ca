"""The common part of the drivers of Chromium and Firefox: the process, numbered commands, and a page."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection, connect

Json: TypeAlias = Any

REBOUND: Final = "rebound.test"
"""An attacker's name that resolves to this machine, as after DNS rebinding."""

PATIENCE: Final = 60.0
"""Seconds that a browser may take for anything. They only decide when a broken test gives up."""


class DriverError(Exception):
    """A browser ended or refused a command, or a script in a page threw."""


class BrowserProcess:
    """A browser with a new, empty profile, which outlives a `trio.run`."""

    def __init__(self, *command: str, preferences: str = "") -> None:
        self._home = Path(tempfile.mkdtemp(prefix=f"peersockets-{command[0]}-"))
        (self._home / "profile").mkdir()
        (self._home / "profile" / "user.js").write_text(preferences)
        self._process = subprocess.Popen(
            [word.format(profile=self._home / "profile") for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(self._home), "TMPDIR": str(self._home)},
            start_new_session=True,  # so that `close` reaches the browser's own processes
        )
        self._drain = threading.Thread(target=self._read_to_the_end, daemon=True)
        self.url = self._listening()
        self._drain.start()

    def _read_to_the_end(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for _ in lines:
                pass

    def _listening(self) -> str:
        """Return the address at which the browser takes commands, which it prints."""
        assert self._process.stderr is not None
        printed = []
        for line in self._process.stderr:
            printed.append(line)
            if "listening on ws://" in line:
                return line.split()[-1]
        self._drain.start()
        self.close()
        raise DriverError("the browser ended:\n" + "".join(printed))

    def close(self) -> None:
        """End the browser and remove everything that it wrote."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._drain.join()
        shutil.rmtree(self._home, ignore_errors=True)


class Commands:
    """Commands and events over one WebSocket. DevTools and BiDi write them alike."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._count = 0
        self._answers: dict[int, Json] = {}
        self._answered: dict[int, trio.Event] = {}
        self.subscribers: list[Callable[[str, Json], None]] = []

    async def call(self, method: str, session: str | None = None, /, **parameters: Json) -> Json:
        """Send a command and return its result."""
        self._count += 1
        number = self._count
        answered = self._answered[number] = trio.Event()
        envelope = {} if session is None else {"sessionId": session}
        await self._socket.send(
            json.dumps({"id": number, "method": method, "params": parameters, **envelope})
        )
        with trio.fail_after(PATIENCE):
            await answered.wait()
        answer = self._answers.pop(number)
        if "result" not in answer:
            raise DriverError(f"{method}: {answer}")
        return answer["result"]

    async def send(self, method: str, session: str | None = None, /, **parameters: Json) -> None:
        """Send a command whose result does not matter."""
        self._count += 1
        line = {"id": self._count, "method": method, "params": parameters}
        await self._socket.send(json.dumps(line if session is None else {**line, "sessionId": session}))

    async def run(self) -> None:
        """Pass answers and events on, until the socket closes."""
        with suppress(ConnectionClosed):
            while True:
                line = json.loads(await self._socket.recv())
                if line.get("id") in self._answered:
                    self._answers[line["id"]] = line
                    self._answered.pop(line["id"]).set()
                elif "method" in line:
                    for subscriber in self.subscribers:
                        subscriber(line["method"], line)


@asynccontextmanager
async def open_commands(url: str) -> AsyncIterator[Commands]:
    """Connect to a browser."""
    async with connect(url, max_size=None, compression=None, ping_interval=None) as socket:
        commands = Commands(socket)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commands.run)
            yield commands
            nursery.cancel_scope.cancel()


class Page(ABC):
    """A tab in a context of its own, with its own cookies and storage."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        """Errors on the console so far: uncaught exceptions, `console.error`, refused loads."""
        self.printed: list[str] = []
        """Lines that pages wrote with `console.log`."""
        self._news = trio.Event()

    @abstractmethod
    async def go(self, url: str) -> None:
        """Open an address and wait until it has loaded."""

    @abstractmethod
    async def reload(self) -> None:
        """Load the page again and wait until it has loaded."""

    @abstractmethod
    async def back(self) -> None:
        """Go back to the page before, as the button does."""

    @abstractmethod
    async def follow(self, expression: str) -> None:
        """Evaluate an expression that leads to another page, and wait until that has loaded."""

    @abstractmethod
    async def close(self) -> None:
        """Close the tab."""

    @abstractmethod
    async def _evaluate(self, expression: str) -> str:
        """Return the string to which the promise `expression` resolves."""

    async def evaluate(self, expression: str) -> Json:
        """Return the value of an expression in the page. Promises are awaited, typed arrays are lists."""
        plain = "(key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value"
        text = f"(async () => JSON.stringify([await ({expression})], {plain}))()"
        [value] = json.loads(await self._evaluate(text))
        return value

    async def until(self, expression: str) -> Json:
        """Wait until an expression in the page is true, and return its value."""
        return await self.evaluate(
            "new Promise((resolve, reject) => { const look = () => { try { const value = "
            f"({expression}); value ? resolve(value) : setTimeout(look, 10) }}"
            " catch (error) { reject(error) } }; look() })"
        )

    async def until_printed(self, text: str) -> None:
        """Wait until the page has written a line with `console.log`."""
        with trio.fail_after(PATIENCE):
            while text not in self.printed:
                await self._news.wait()

    def note(self, lines: list[str], line: str) -> None:
        """Remember a line of the console."""
        lines.append(line)
        self._news.set()
        self._news = trio.Event()


def words(arguments: Sequence[Json]) -> str:
    """Return a call of `console.log` as the line that a console shows."""
    return " ".join(str(argument.get("value", argument.get("description", ""))) for argument in arguments)
