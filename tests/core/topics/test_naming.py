from __future__ import annotations

import pytest

from core.support import KEY
from peersockets_core.topics.naming import TopicScope, addresses, check_scope, check_topic

DISCOVERY_KEY = KEY.discovery_key


@pytest.mark.parametrize("topic", ["chat", "", "a/b", "x" * 65_536, "\U0001f600"])
@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("drive", f"peersockets/v0/webapp/{DISCOVERY_KEY.hex()}/"),  # Beaker 1.1
        ("network", "peersockets/v0/"),  # npm peersockets 1.0.0
    ],
)
def test_names_on_hypercore9_match_the_reference(topic: str, scope: TopicScope, name: str) -> None:
    assert addresses(DISCOVERY_KEY, topic, scope)["hypercore9"] == (None, name + topic)


@pytest.mark.parametrize("scope", ["drive", "network"])
def test_on_hypercore11_the_channel_already_stands_for_the_drive(scope: TopicScope) -> None:
    assert addresses(DISCOVERY_KEY, "chat", scope)["hypercore11"] == (DISCOVERY_KEY, "peersockets/v0/chat")


@pytest.mark.parametrize("topic", ["", "chat", "\0", "\ue000\uffff\U0010ffff", "x" * 65_536])
def test_any_text_can_be_a_topic(topic: str) -> None:
    check_topic(topic)


@pytest.mark.parametrize("topic", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_lone_surrogates_are_not_text(topic: str) -> None:
    with pytest.raises(ValueError, match="lone surrogates"):
        check_topic(topic)


@pytest.mark.parametrize("topic", [b"chat", None, 5])
def test_other_types_are_not_text(topic: object) -> None:
    with pytest.raises(TypeError, match="topic must be str"):
        check_topic(topic)  # type: ignore[arg-type]


def test_the_scopes_of_topics() -> None:
    for scope in ("drive", "network"):
        check_scope(scope)
    with pytest.raises(ValueError, match="topic_scope must be one of drive, network, not 'world'"):
        check_scope("world")
