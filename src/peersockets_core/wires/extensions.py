"""`ExtensionNames`: the names of our extensions, which all connections of a node share, as in a networker.

On hypercore9, an extension message carries an index into the sender's list of names. The list is
sorted by UTF-16 code units, as JavaScript sorts strings (abstract-extension 3.1.1, `sortMessages`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter

from ..errors import LocalProtocolError


def utf16_order(name: str) -> bytes:
    """Return the sort key for JavaScript's string order."""
    return name.encode("utf-16-be")


class ExtensionNames:
    """The extensions registered here. Each may have several users, but is listed once."""

    def __init__(self) -> None:
        self.version = 0
        """A number that changes with the list, so that a connection knows when the remote's copy is stale."""
        self._registrations: Counter[str] = Counter()
        self._names: list[str] = []
        self._for_strangers = 0

    def __contains__(self, name: str) -> bool:
        return name in self._registrations

    @property
    def names(self) -> list[str]:
        """The list in wire order. The caller must not change it."""
        return self._names

    def index(self, name: str) -> int:
        """Return the position of a registered name, which is its id on the wire.

        Raises `LocalProtocolError` for a name that is not registered, because its position belongs to another
        name.
        """
        self._check(name)
        return bisect_left(self._names, utf16_order(name), key=utf16_order)

    @property
    def for_strangers(self) -> bool:
        """Whether any user listens to strangers, too, so that a stranger's message may be useful."""
        return self._for_strangers > 0

    def register(self, name: str, *, members_only: bool = False) -> None:
        """Add a name, or one more user of it. With `members_only`, the user ignores strangers."""
        if name not in self._registrations:
            insort(self._names, name, key=utf16_order)
            self.version += 1
        self._registrations[name] += 1
        self._for_strangers += not members_only

    def unregister(self, name: str, *, members_only: bool = False) -> None:
        """Remove one user who was registered with the same `members_only`, and with the last user the name.

        Raises `LocalProtocolError` for a name that is not registered.
        """
        self._check(name)
        self._registrations[name] -= 1
        self._for_strangers -= not members_only
        if not self._registrations[name]:
            del self._names[self.index(name)]
            del self._registrations[name]
            self.version += 1

    def _check(self, name: str) -> None:
        if name not in self._registrations:
            raise LocalProtocolError(f"the extension {name!r} is not registered")
