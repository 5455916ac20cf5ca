"""The page of the tutorial, exactly as printed."""

from __future__ import annotations

from pathlib import Path

from browser.drivers import Page
from browser.places import Place, open_peer
from docs.markdown import BLOCKS


async def test_the_page_of_the_tutorial_talks(page: Page, place: Place, site: Path) -> None:
    [code] = [block.code for block in BLOCKS if block.marked("page") == "talk"]
    (site / "index.html").write_text(code.replace("<title>", "<link rel=icon href=data:,><title>"))
    await page.go(place.url)
    async with open_peer("hyperdrive 13", place) as (_, topic):
        await page.until("document.querySelector('#people').innerText === 'peer 1'")
        await page.evaluate("(text.value = 'hello', form.requestSubmit())")
        assert (await topic.receive())[1] == b"hello"
        await topic.send(place.node.public_keys["hypercore11"], b"hello yourself")
        await page.until("log.children.length === 2")
        assert await page.evaluate("log.innerText.split('\\n')") == ["you say hello", "1 says hello yourself"]
    await page.until("document.querySelector('#people').innerText === ''")
    assert page.errors == []
