"""Where a topic lives on each wire: the one place for names.

hypercore9: an extension of the connection; Beaker 1.1 put the drive's discovery key into the name, npm
peersockets 1.0.0 leaves the name as the application gave it. hypercore11: an extension of the drive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from ..events import WireName

TopicScope: TypeAlias = Literal["drive", "network"]
"""Beaker's naming, heard from members only; or npm peersockets' naming, heard from any connection."""

TOPIC_SCOPES: Final[tuple[TopicScope, ...]] = ("drive", "network")

Address: TypeAlias = tuple[bytes | None, str]
"""An extension: the discovery key of the drive whose channel carries it, or None, and its name."""

PREFIX: Final = "peersockets/v0/"


def _hypercore9(discovery_key: bytes, topic: str, scope: TopicScope) -> Address:
    if scope == "drive":
        return None, f"{PREFIX}webapp/{discovery_key.hex()}/{topic}"
    return None, PREFIX + topic


def _hypercore11(discovery_key: bytes, topic: str, scope: TopicScope) -> Address:
    return discovery_key, PREFIX + topic


_ADDRESSES: dict[WireName, Callable[[bytes, str, TopicScope], Address]] = {
    "hypercore9": _hypercore9,
    "hypercore11": _hypercore11,
}


def addresses(discovery_key: bytes, topic: str, scope: TopicScope) -> dict[WireName, Address]:
    """Return the address of a drive's topic on each wire."""
    return {wire: address(discovery_key, topic, scope) for wire, address in _ADDRESSES.items()}


def check_topic(topic: str) -> None:
    """Raise `TypeError` or `ValueError` unless `topic` is text that UTF-8 can carry."""
    if not isinstance(topic, str):
        raise TypeError(f"topic must be str, not {type(topic).__name__}")
    try:
        topic.encode()
    except UnicodeEncodeError:
        raise ValueError(f"topic must not contain lone surrogates: {topic[:80]!a}") from None
