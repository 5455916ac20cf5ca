"""The README as a package index shows it, without the files beside it."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from docs.markdown import ROOT

README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\]\((?!https?://)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def index_page() -> str:
    """Return the output of the build: the README after the substitutions of pyproject.toml."""
    hook: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for key in ("tool", "hatch", "metadata", "hooks", "fancy-pypi-readme"):
        hook = hook[key]
    assert hook["fragments"] == [{"path": "README.md"}]
    page = README
    for substitution in hook["substitutions"]:
        page = re.sub(substitution["pattern"], substitution["replacement"], page)
    return page


def test_no_link_leads_to_a_missing_file() -> None:
    assert LINK.search(README)
    assert not LINK.search(index_page())


def test_every_page_that_the_readme_links_is_named() -> None:
    pages = set(re.findall(r"\]\(((?:docs|javascript)/[^)#]+\.md)", README)) - {"docs/glossary.md"}
    assert pages
    assert {page for page in pages if f"(`{page}` in the source)" not in index_page()} == set()


def test_examples_stay_the_same() -> None:
    assert FENCED.findall(README)
    assert FENCED.findall(index_page()) == FENCED.findall(README)
