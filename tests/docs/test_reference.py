"""The reference leaves no public name out."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

import peersockets_asyncio
import peersockets_core
import peersockets_trio
from docs.markdown import ROOT
from peersockets_core import dht, swarm, udx
from peersockets_trio import browser

DIRECTIVE = re.compile(r"^\.\. (?:py:data|auto(?:class|data|exception|function)):: (\w+)$", re.MULTILINE)


PACKAGES = (peersockets_core, peersockets_asyncio, peersockets_trio, browser, dht, swarm, udx)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package: ModuleType) -> None:
    pages = (ROOT / "docs" / "reference").glob("*.md")
    documented = {name for page in pages for name in DIRECTIVE.findall(page.read_text())}
    assert set(package.__all__) <= documented
