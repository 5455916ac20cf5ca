"""Beaker's own example, byte for byte, in real browsers with real peers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from browser.drivers import Page
from browser.places import Place, open_peer

API_PAGE: Final = Path(__file__).parent / "beaker.peersockets.txt"
ORIGINAL: Final = Path(__file__).parents[3] / "shared" / API_PAGE.name
PAGE: Final = (
    '<!doctype html><link rel=icon href=data:,><title>example</title><script src="example.js"></script>'
)


def example() -> bytes:
    """Return the code below the heading "Example usage"."""
    return API_PAGE.read_bytes().partition(b"\nExample usage\n\n")[2].partition(b"\n\nAPI\n")[0]


def test_the_page_is_that_of_beaker() -> None:
    if ORIGINAL.exists():
        assert API_PAGE.read_bytes() == ORIGINAL.read_bytes()
    assert example().startswith(b"// maintain a list of active peers\nvar peerIds = new Set()\n")
    assert example().endswith(
        b"console.log('peer', e.peerId, 'says', new TextDecoder().decode(e.message))\n})"
    )


async def test_the_example_runs_unchanged_with_both_generations(page: Page, place: Place, site: Path) -> None:
    (site / "example.js").write_bytes(example())
    (site / "index.html").write_text(PAGE)
    await page.go(place.url)
    assert (await page.evaluate("fetch('example.js').then(file => file.text())")).encode() == example()
    async with open_peer("hyperdrive 10", place) as (_, elders):
        await page.until("peerIds.has(1)")
        async with open_peer("hyperdrive 13", place) as (_, youngers):
            await page.until("peerIds.has(2)")
            await page.evaluate("sendToAll('hello from a page')")
            keys = place.node.public_keys
            assert await elders.receive() == (keys["hypercore9"], b"hello from a page")
            assert await youngers.receive() == (keys["hypercore11"], b"hello from a page")
            await elders.send(keys["hypercore9"], "hyperdrive 10 grüßt".encode())
            await page.until_printed("peer 1 says hyperdrive 10 grüßt")
            await youngers.send(keys["hypercore11"], b"hello from hyperdrive 13")
            await page.until_printed("peer 2 says hello from hyperdrive 13")
        await page.until("!peerIds.has(2)")
        assert await page.evaluate("[...peerIds]") == [1]
    await page.until("peerIds.size === 0")
    assert page.errors == []
    assert page.printed == ["peer 1 says hyperdrive 10 grüßt", "peer 2 says hello from hyperdrive 13"]
    await place.until_handles(2)
    await page.go("about:blank")
    await place.until_handles(0)
