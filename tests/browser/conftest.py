"""Fixtures: the browsers, one process each for a session, and a page in a context of its own for a test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from browser import chromium, firefox
from browser.chromium import ChromiumPage
from browser.drivers import Page
from browser.firefox import FirefoxPage
from browser.places import BLANK, Place, open_place

TEST_TIME: Final = 240.0
"""Seconds after which a test counts as hanging."""


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        item.add_marker(pytest.mark.trio(run=run_in_time))


def run_in_time(test: Callable[..., Awaitable[object]], *arguments: object, **options: Any) -> None:
    """Run a test with pytest-trio, in bounded time."""

    async def test_in_time() -> None:
        with trio.fail_after(TEST_TIME):
            await test(*arguments)

    trio.run(test_in_time, **options)


@pytest.fixture(scope="session")
def chromium_url() -> Iterator[str]:
    process = chromium.start()
    yield process.url
    process.close()


@pytest.fixture(scope="session")
def firefox_url() -> Iterator[str]:
    process = firefox.start()
    yield process.url
    process.close()


@pytest.fixture
async def chrome(chromium_url: str) -> AsyncIterator[ChromiumPage]:
    async with chromium.open_page(chromium_url) as page:
        yield page


@pytest.fixture
async def fox(firefox_url: str) -> AsyncIterator[FirefoxPage]:
    async with firefox.open_page(firefox_url) as page:
        yield page


@pytest.fixture(params=["chromium", "firefox"])
async def page(request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A page in either browser."""
    open_page = {"chromium": chromium.open_page, "firefox": firefox.open_page}[request.param]
    async with open_page(request.getfixturevalue(f"{request.param}_url")) as page:
        yield page


@pytest.fixture
def key() -> bytes:
    """The key of a drive."""
    return os.urandom(32)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of a site with an empty page."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(BLANK)
    return folder


@pytest.fixture
async def place(key: bytes, site: Path) -> AsyncIterator[Place]:
    async with open_place(key, site) as place:
        yield place
