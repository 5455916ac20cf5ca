"""A driver for Firefox: WebDriver BiDi."""

from __future__ import annotations

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

PREFERENCES: Final[dict[str, bool | int | str]] = {
    # Everything with which Firefox contacts its makers by itself.
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "app.update.enabled": False,
    "browser.aboutConfig.showWarning": False,
    "browser.newtabpage.enabled": False,
    "browser.region.network.url": "",
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.provider.mozilla.updateURL": "",
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "captivedetect.canonicalURL": "",
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "geo.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "messaging-system.rsexperimentloader.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.http.speculative-parallel-limit": 0,
    "network.prefetch-next": False,
    "network.trr.mode": 5,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
    "toolkit.telemetry.unified": False,
    # All other requests go to a port that never answers. Loopback is reached directly.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.no_proxies_on": f"localhost, .localhost, 127.0.0.1, {REBOUND}",
    "network.dns.localDomains": REBOUND,
}


def start() -> BrowserProcess:
    """Start Firefox."""
    lines = (f'user_pref("{name}", {_literal(value)});\n' for name, value in PREFERENCES.items())
    options = "--headless --no-remote --remote-debugging-port=0 --profile {profile}"
    return BrowserProcess("firefox-esr", *options.split(), preferences="".join(lines))


def _literal(value: bool | int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


class FirefoxPage(Page):
    """A tab of Firefox."""

    def __init__(self, commands: Commands, context: str) -> None:
        super().__init__()
        self._commands = commands
        self._context = context
        self._loaded = trio.Event()
        commands.subscribers.append(self._notice)

    async def go(self, url: str) -> None:
        await self._call("browsingContext.navigate", url=url, wait="complete")

    async def reload(self) -> None:
        await self._call("browsingContext.reload", wait="complete")

    async def back(self) -> None:
        await self._call("browsingContext.traverseHistory", delta=-1)

    async def follow(self, expression: str) -> None:
        self._loaded = trio.Event()
        await self.evaluate(f"void ({expression})")
        with trio.fail_after(PATIENCE):
            await self._loaded.wait()

    async def close(self) -> None:
        with suppress(DriverError):
            await self._call("browsingContext.close")

    async def _call(self, method: str, **parameters: Json) -> Json:
        return await self._commands.call(method, context=self._context, **parameters)

    async def _evaluate(self, expression: str) -> str:
        answer = await self._commands.call(
            "script.evaluate", expression=expression, target={"context": self._context}, awaitPromise=True
        )
        if answer["type"] == "exception":
            raise DriverError(answer["exceptionDetails"]["text"])
        value: str = answer["result"]["value"]
        return value

    def _notice(self, method: str, line: Json) -> None:
        entry = line["params"]
        if method == "browsingContext.load" and entry["context"] == self._context:
            self._loaded.set()
        if method != "log.entryAdded" or entry["source"].get("context") != self._context:
            return
        if entry["level"] == "error":
            self.note(self.errors, entry["text"])
        elif entry["type"] == "console":
            self.note(self.printed, words(entry["args"]))


@asynccontextmanager
async def open_page(url: str) -> AsyncIterator[FirefoxPage]:
    """Open a tab in a context of its own, in the browser at this address."""
    async with open_commands(url.rstrip("/") + "/session") as commands:
        await commands.call("session.new", capabilities={})
        ended = False
        try:
            await commands.call("session.subscribe", events=["log.entryAdded", "browsingContext.load"])
            user = (await commands.call("browser.createUserContext"))["userContext"]
            tab = await commands.call("browsingContext.create", type="tab", userContext=user)
            yield FirefoxPage(commands, tab["context"])
            await commands.call("browser.removeUserContext", userContext=user)
            await commands.call("session.end")
            ended = True
        finally:
            if not ended:  # Firefox has one session at a time, and the next test needs it
                with trio.CancelScope(shield=True):
                    await commands.send("session.end")
