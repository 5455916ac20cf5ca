"""A driver for Chromium: the DevTools protocol."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from .drivers import (
    PATIENCE,
    REBOUND,
    BrowserProcess,
    Commands,
    DriverError,
    Json,
    Page,
    open_commands,
    words,
)

OPTIONS: Final = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --no-default-browser-check "
    "--remote-debugging-port=0 --user-data-dir={profile}"
)
# No other name resolves, so no page and no part of the browser reaches beyond this machine.
_RULES: Final = (
    f"MAP {REBOUND} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1"
)


def start() -> BrowserProcess:
    """Start Chromium."""
    return BrowserProcess("chromium", *OPTIONS.split(), f"--host-resolver-rules={_RULES}")


class ChromiumPage(Page):
    """A tab of Chromium."""

    def __init__(self, commands: Commands, session: str, target: str) -> None:
        super().__init__()
        self._commands = commands
        self._session = session
        self._target = target
        self._loaded = trio.Event()
        self._halted = trio.Event()
        commands.subscribers.append(self._notice)

    async def call(self, method: str, **parameters: Json) -> Json:
        """Send a command of the DevTools protocol to this tab."""
        return await self._commands.call(method, self._session, **parameters)

    async def go(self, url: str) -> None:
        async with self._loading():
            answer = await self.call("Page.navigate", url=url)
            if "errorText" in answer:
                raise DriverError(f"{url}: {answer['errorText']}")

    async def reload(self) -> None:
        async with self._loading():
            await self.call("Page.reload")

    async def back(self) -> None:
        history = await self.call("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]["id"]
        async with self._loading():
            await self.call("Page.navigateToHistoryEntry", entryId=entry)

    async def follow(self, expression: str) -> None:
        async with self._loading():
            await self.evaluate(f"void ({expression})")

    async def close(self) -> None:
        with suppress(DriverError):
            await self._commands.call("Target.closeTarget", targetId=self._target)

    async def screenshot(self, width: int, height: int, *, dark: bool = False) -> bytes:
        """Return a PNG of the page in a window of that size."""
        await self.resize(width, height, dark=dark)
        shot = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])

    async def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Give the page a size and a colour scheme, and wait until it has redrawn itself."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    async def type(self, text: str) -> None:
        """Type into the focused element."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **named)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Hold the page in the debugger for the length of the block: it runs no script and reads nothing."""
        self._halted = trio.Event()
        await self.call("Debugger.enable")
        # Chromium answers only after the pause.
        await self._commands.send("Runtime.evaluate", self._session, expression="debugger")
        with trio.fail_after(PATIENCE):
            await self._halted.wait()
        yield
        await self.call("Debugger.disable")

    async def _evaluate(self, expression: str) -> str:
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise DriverError(details.get("exception", {}).get("description", details["text"]))
        value: str = answer["result"]["value"]
        return value

    @asynccontextmanager
    async def _loading(self) -> AsyncIterator[None]:
        self._loaded = trio.Event()
        yield
        with trio.fail_after(PATIENCE):
            await self._loaded.wait()

    def _notice(self, method: str, line: Json) -> None:
        if line.get("sessionId") != self._session:
            return
        match method, line["params"]:
            case ("Page.loadEventFired", _) | ("Page.frameNavigated", {"type": "BackForwardCacheRestore"}):
                self._loaded.set()
            case "Debugger.paused", _:
                self._halted.set()
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.note(self.errors, details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled", {"type": kind, "args": arguments}:
                self.note(self.errors if kind == "error" else self.printed, words(arguments))
            case "Log.entryAdded", {"entry": {"level": "error", **entry}}:
                self.note(self.errors, f"{entry['text']} {entry.get('url', '')}")


@asynccontextmanager
async def open_context(commands: Commands) -> AsyncIterator[str]:
    """Open a browser context, which has cookies and storage of its own."""
    context = (await commands.call("Target.createBrowserContext"))["browserContextId"]
    try:
        yield context
    finally:
        with trio.CancelScope(shield=True):
            await commands.call("Target.disposeBrowserContext", browserContextId=context)


async def open_tab(commands: Commands, context: str) -> ChromiumPage:
    """Open a tab."""
    target = (await commands.call("Target.createTarget", url="about:blank", browserContextId=context))[
        "targetId"
    ]
    attached = await commands.call("Target.attachToTarget", targetId=target, flatten=True)
    page = ChromiumPage(commands, attached["sessionId"], target)
    for domain in ("Page", "Runtime", "Log"):
        await page.call(f"{domain}.enable")
    return page


@asynccontextmanager
async def open_page(url: str) -> AsyncIterator[ChromiumPage]:
    """Open a tab in a context of its own, in the browser at this address."""
    async with open_commands(url) as commands, open_context(commands) as context:
        yield await open_tab(commands, context)
