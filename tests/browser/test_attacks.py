"""Web pages that attack a gateway to which the same browser is logged in.

Every attack also runs from the gateway's own page, where it has to succeed. This proves that it can.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from browser.drivers import REBOUND, DriverError, Page
from browser.places import BLANK, Place

ATTACKS: Final = """
window.attacks = {
  socket: origin => new Promise(done => {
    const socket = new WebSocket(origin.replace('http', 'ws') + '/.peersockets/socket', 'peersockets.v1')
    socket.onmessage = () => done(true)
    socket.onclose = () => done(false)
  }),
  read: origin => fetch(origin + '/', { credentials: 'include' }).then(answer => answer.ok, () => false),
  script: origin => load('script', { src: origin + '/.peersockets/peersockets.js' }),
  style: origin => load('link', { rel: 'stylesheet', href: origin + '/style.css' }),
  image: origin => load('img', { src: origin + '/picture.svg' }),
  frame: origin => new Promise(done => {
    addEventListener('message', () => done(true), { once: true })
    const frame = document.body.appendChild(document.createElement('iframe'))
    frame.onload = () => setTimeout(done, 0, false) // the page in it would have sent its message by now
    frame.src = origin + '/frame.html'
  }),
  post: origin => fetch(origin + '/', { method: 'POST', credentials: 'include' })
    .then(answer => answer.status === 405, () => false)
}
const load = (tag, properties) => new Promise(done => {
  const element = Object.assign(document.createElement(tag), properties)
  element.onload = () => done(true)
  element.onerror = () => done(false)
  document.body.append(element)
})
window.run = async origin => {
  const succeeded = []
  for (const [name, attack] of Object.entries(attacks)) if (await attack(origin)) succeeded.push(name)
  return succeeded
}
"""
NAMES: Final = ["socket", "read", "script", "style", "image", "frame", "post"]


class Attacker(BaseHTTPRequestHandler):
    """An attacker's web server on this machine. It answers every request with the same page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(
            f"<!doctype html><link rel=icon href=data:,><body><script>{ATTACKS}</script>".encode()
        )

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def attacker() -> Iterator[int]:
    """The port of an attacker's server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Attacker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(BLANK.replace("</body>", f"<script>{ATTACKS}</script></body>"))
    (folder / "style.css").write_text("body { color: green }")
    (folder / "picture.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>')
    (folder / "frame.html").write_text("<!doctype html><script>parent.postMessage('alive', '*')</script>")
    return folder


def name_of(place: Place) -> str:
    return place.gateway.origin.removeprefix("http://").rpartition(":")[0]


async def test_our_own_page_can_do_everything_that_attackers_try(page: Page, place: Place) -> None:
    await page.go(place.url)
    assert await page.evaluate("run(location.origin)") == NAMES


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "{name}", "sub.{name}", "other.localhost", REBOUND]
)
async def test_a_page_of_another_origin_gets_nothing(
    page: Page, place: Place, attacker: int, host: str
) -> None:
    await page.go(place.url)
    await page.go(f"http://{host.format(name=name_of(place))}:{attacker}/")
    assert await page.evaluate(f"run('{place.gateway.origin}')") == []
    assert "peersockets" not in await page.evaluate("document.cookie")
    await place.until_handles(0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "sub.{name}", "other.localhost", REBOUND])
async def test_the_gateway_has_one_name_even_for_browsers_with_the_token(
    page: Page, place: Place, host: str
) -> None:
    """After DNS rebinding, the attacker's own name leads to the gateway, like each of these names."""
    origin = f"http://{host.format(name=name_of(place))}:{place.gateway.port}"
    await page.go(place.url)  # so the browser has the cookie
    for path in (place.url.removeprefix(place.gateway.origin), "/", "/.peersockets/peersockets.js"):
        await page.go(origin + path)
        status = "performance.getEntriesByType('navigation')[0].responseStatus"
        assert await page.evaluate(f"[location.origin, {status}]") == [origin, 421]
        assert await page.evaluate("'beaker' in window") is False
    await page.evaluate(f"(() => {{ {ATTACKS}; window.run = run }})()")
    assert await page.evaluate("run(location.origin)") == []
    assert await page.evaluate(f"run('{place.gateway.origin}')") == []


async def test_a_link_from_elsewhere_does_not_open_the_site(page: Page, place: Place, attacker: int) -> None:
    await page.go(place.url)
    await page.go(f"http://127.0.0.1:{attacker}/")
    await page.follow(f"location = '{place.gateway.origin}/'")
    assert await page.evaluate("location.origin") == place.gateway.origin
    assert await page.evaluate("'beaker' in window") is False


async def test_a_wrong_token_opens_nothing(page: Page, place: Place) -> None:
    await page.go(place.url[:-1] + ("0" if place.url[-1] != "0" else "1"))
    assert await page.evaluate("'beaker' in window") is False
    await page.go(place.gateway.origin + "/")
    assert await page.evaluate("'beaker' in window") is False


async def test_the_page_never_sees_the_token(page: Page, place: Place) -> None:
    token = place.url.rpartition("/")[2]
    await page.go(place.url)
    seen = "[location.href, document.referrer, document.cookie, document.documentElement.outerHTML].join()"
    assert token not in await page.evaluate(seen)
    assert token not in await page.evaluate("fetch('/.peersockets/peersockets.js').then(file => file.text())")
    assert await page.evaluate("[isSecureContext, history.length <= 2]") == [True, True]


async def test_each_drive_has_a_storage_of_its_own(page: Page, place: Place) -> None:
    assert name_of(place) == f"{place.drive.key.discovery_key.hex()[:32]}.localhost"
    await page.go(place.url)
    await page.evaluate("localStorage.setItem('mine', 'yes')")
    with pytest.raises(DriverError):
        await page.evaluate("(document.domain = 'localhost')")
