"""Sphinx: MyST pages, and the reference from docstrings. Building needs no network."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.inspect import TypeAliasForwardRef

import peersockets_asyncio
import peersockets_core
import peersockets_trio
from peersockets_core.dht import HyperDhtLimits
from peersockets_trio import node, topic
from peersockets_trio.requests import RequestHandler
from peersockets_trio.runtime.direct import DirectStream

# These modules import some names only for type checkers, to load HyperDHT and requests no sooner than needed.
vars(node).update(Swarm=peersockets_trio.Swarm, HyperDhtLimits=HyperDhtLimits, DirectStream=DirectStream)
vars(topic).update(RequestHandler=RequestHandler, RequestStatistics=peersockets_trio.RequestStatistics)

project = "peersockets"
author = "the authors of peersockets"
release = importlib.metadata.version("peersockets")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "api"]  # api/ is the same reference as text
html_theme = "furo"
html_title = f"peersockets {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

myst_heading_anchors = 3

# Docstrings use single backticks for names: a link where there is something to link to.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {
    name: f"peersockets_core.{name}"
    for name in ("Entropy", "Event", "Overflow", "PeerEvent", "TopicScope", "WireName")
}
# Sphinx 9.0 shows an alias within another type as the object that it keeps for it.
TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # type: ignore[method-assign]
python_use_unqualified_type_names = True

nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", r".*"),  # prose: parameters and values as well as names
    ("py:.*", r"(trio|collections|contextlib|pathlib|types|typing)\b.*"),  # their index is not here
    # Names that are not public have no page.
    ("py:class", r"peersockets_(asyncio|core|trio)(\.\w+){2,}|Keys|Buffer|S|StreamProtocol|Wakeable"),
]

_PACKAGES = (peersockets_core, peersockets_asyncio, peersockets_trio)


def _public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Any) -> Any:
    """Find a name by its public spelling: annotations know only the module where it is defined."""
    name = node.get("reftarget", "").rpartition(".")[2]
    domain: Any = env.domains["py"]
    for package in _PACKAGES:
        full = f"{package.__name__}.{name}"
        if name in package.__all__ and full in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", full, node, content)
    return None


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", _public_name)
