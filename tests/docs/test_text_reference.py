"""docs/api/: the reference as text is complete and up to date."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from types import ModuleType

import pytest

from docs.markdown import ROOT
from peersockets_core import Message

API = ROOT / "docs" / "api"


def _load() -> ModuleType:
    # `docs` is the name of a folder of tests, too.
    spec = importlib.util.spec_from_file_location("text_reference", ROOT / "docs" / "text_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


text_reference = _load()
PACKAGES = tuple(text_reference.PACKAGES)


def sections(page: str) -> dict[str, str]:
    """Return the text below each heading of a page, by the heading without its marks."""
    parts = re.split(r"^##+ (.*)$", (API / f"{page}.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_page_is_up_to_date(package: str) -> None:
    assert (API / f"{package}.md").read_text() == text_reference.page(package), "run `make reference`"


def test_no_page_is_left_over() -> None:
    assert {path.stem for path in API.iterdir()} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_and_member_has_a_heading(package: str) -> None:
    module = importlib.import_module(package)
    headings = {heading.replace("`", "") for heading in sections(package)}
    for name in module.__all__:
        assert name in headings
        value = getattr(module, name)
        if not isinstance(value, type) or not value.__module__.startswith("peersockets"):
            continue
        for member, found in inspect.getmembers_static(value):
            foreign = hasattr(object, member) or member in dir(tuple) or member in dir(Exception)
            if member.startswith("_") or (foreign and member not in vars(value)) or member in dir(bytes):
                continue
            if inspect.ismemberdescriptor(found) or re.search("calls this", inspect.getdoc(found) or ""):
                continue  # shown if it has a text; and not for programs
            ours = any(
                member in vars(base) for base in value.__mro__ if base.__module__.startswith("peersockets")
            )
            assert not ours or any(heading.endswith(f".{member}") for heading in headings), (name, found)


@pytest.mark.parametrize(
    ("package", "heading", "part"),
    [
        ("peersockets_core", "Connection.closed", "Whether the connection has ended"),
        ("peersockets_core", "Connection.initiator", "Whether our side has dialled"),
        ("peersockets_core", "TopicHandle: `len(...)`", "the number of messages that wait"),
        ("peersockets_core", "addresses", "def addresses(discovery_key: bytes"),
        ("peersockets_core", "Outbox.size", "Bytes"),
        ("peersockets_core", "Peersockets.remove_connection", "pass `connection.outbox.message_size` plus"),
        ("peersockets_core.dht", "Peer", "class Peer"),
        ("peersockets_core", "Watch.closed", "Whether"),
        ("peersockets_core", "Peersockets.join", "overflow: Overflow = 'wait'"),
        ("peersockets_core", "PeerEvent", "`PeerEvent = PeerJoined | PeerLeft`"),
        ("peersockets_trio", "open_node", "-> AbstractAsyncContextManager[Node]`"),
        ("peersockets_trio", "Node", "`class Node`\n\nAll connections of one identity, made by `open_node`."),
        ("peersockets_trio", "Topic.aclose", "Close, and checkpoint."),
        ("peersockets_asyncio", "Drive", "`class Drive`\n\nOne opening of a drive"),
        ("peersockets_asyncio", "Node.connect_tcp", "take `timeout` seconds (10 by default)"),
        ("peersockets_core.trace", "replay", "def replay(trace: Trace"),
        ("peersockets_trio.testing", "open_node_pair", "AbstractAsyncContextManager[NodePair]"),
    ],
)
def test_typical_questions_of_a_reader_are_answered(package: str, heading: str, part: str) -> None:
    assert part in sections(package)[heading]


MOST_USED = (
    "open_node", "Node", "Node.open_drive", "Node.open_swarm", "Node.listen_tcp", "Node.connect_tcp",
    "Node.disconnect", "Drive", "Drive.join", "Drive.watch", "Topic", "Topic.send", "Topic.send_nowait",
    "Topic.broadcast", "Topic.receive", "Topic.request", "Topic.serve", "PeerEvents", "Swarm", "Swarm.join",
)  # fmt: skip
WITHOUT_ERRORS = {"Node", "Drive", "Topic", "PeerEvents", "Swarm"}


@pytest.mark.parametrize("name", MOST_USED)
def test_the_hover_text_of_common_names(name: str) -> None:
    """The text describes the name. For a class it also says how to get one, and for a function what it
    raises.
    """
    text = sections("peersockets_trio")[name]
    first = text.split("\n\n")[1]
    assert first.rstrip().endswith((".", ":"))
    if name in WITHOUT_ERRORS:
        assert re.search(r"`(?:\w+\.)?(?:open_\w+|join|watch)\b", text), f"how does one get a {name}?"
    else:
        assert "Raise" in text or "raise" in text, f"what does {name} raise?"


@pytest.mark.parametrize("field", Message.__match_args__)
def test_the_fields_of_a_message_are_documented(field: str) -> None:
    assert len(sections("peersockets_trio")[f"Message.{field}"].split("\n\n")) == 2
