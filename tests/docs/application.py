"""An existing application, with JavaScript of the documentation or of a test in it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

from ports import unused_port

TIME: Final = 120.0  # seconds after which a test counts as hanging
SCRIPT = Path(__file__).with_name("snippet.js")


@attrs.define
class Application:
    """A Node process, its drive, and its address."""

    key: str
    port: int
    _process: trio.Process
    _output: bytearray

    async def line(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        while b"\n" not in self._output:
            chunk = await self._process.stdout.receive_some()
            assert chunk, "the application has ended"
            self._output += chunk
        line, _, self._output = self._output.partition(b"\n")
        return line.decode()

    async def ends(self) -> int:
        """Wait for its end. Return its status."""
        return await self._process.wait()


@asynccontextmanager
async def open_application(
    kind: str, code: str, folder: Path, *, bootstrap: tuple[str, int] | None = None
) -> AsyncIterator[Application]:
    """Run code within an application. Port 4200 in it becomes a free one.

    `kind` is a wire, or `hyperswarm`, for which `bootstrap` replaces the public nodes. On hypercore11 the
    code listens, on hypercore9 it need not. The storage is in the folder, and stays there.
    """
    port = unused_port()
    snippet = folder / "snippet.js"
    snippet.write_text(code.replace("4200", str(port)))
    command = ["node", str(SCRIPT), kind, str(snippet), str(folder / "storage")]
    if bootstrap is not None:
        command.append("{}:{}".format(*bootstrap))
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    application = Application("", port, process, bytearray())
    try:
        with trio.fail_after(TIME):
            application.key, own_port = (await application.line()).split()
            if kind == "hypercore9" and "4200" not in code:
                application.port = int(own_port)
            yield application
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stdout is not None
            await trio.aclose_forcefully(process.stdout)
