"""The names of extensions that carry a topic on each wire.

On hypercore9, extensions belong to the connection. Beaker 1.1 puts the drive's discovery key into the name,
and npm peersockets 1.0.0 uses the application's name unchanged. On hypercore11, extensions belong to a drive,
so the drive's channel carries the topic.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from ..events import WireName
from ..wires.table import KINDS

TopicScope: TypeAlias = Literal["drive", "network"]
""""drive": Beaker's naming, whose messages only members can send. "network": npm peersockets' naming, whose
messages any connection can carry."""

TOPIC_SCOPES: Final[tuple[TopicScope, ...]] = ("drive", "network")

TopicAddress: TypeAlias = tuple[bytes | None, str]
"""An extension: the discovery key of the drive whose channel carries it, or None; and its name."""

PREFIX: Final = "peersockets/v0/"


def addresses(discovery_key: bytes, topic: str, scope: TopicScope) -> dict[WireName, TopicAddress]:
    """Return the address of a drive's topic on each wire."""
    of_connection = f"{PREFIX}webapp/{discovery_key.hex()}/" if scope == "drive" else PREFIX
    return {
        wire: (discovery_key, PREFIX + topic) if kind.has_drive_extensions else (None, of_connection + topic)
        for wire, kind in KINDS.items()
    }


def check_scope(scope: str) -> None:
    """Raise `ValueError` unless `scope` is a scope of topics."""
    if scope not in TOPIC_SCOPES:
        raise ValueError(f"topic_scope must be one of {', '.join(TOPIC_SCOPES)}, not {scope!r}")


def check_topic(topic: str) -> None:
    """Raise `TypeError` or `ValueError` unless `topic` is text that UTF-8 can carry."""
    if not isinstance(topic, str):
        raise TypeError(f"topic must be str, not {type(topic).__name__}")
    try:
        topic.encode()
    except UnicodeEncodeError:
        raise ValueError(f"topic must not contain lone surrogates: {topic[:80]!a}") from None
