"""`BoundedStore`: a store with a lifetime and bounds, for everything that a node keeps for strangers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

Key = TypeVar("Key")
Value = TypeVar("Value")


@attrs.frozen
class _Entry(Generic[Value]):
    value: Value
    owner: str
    expires: float


class BoundedStore(Generic[Key, Value]):
    """Keeps each value for `lifetime` seconds: at most `size` values in all, and `per_owner` of one owner.

    If there is no room, the oldest value goes: the oldest of the same owner if that owner has too many,
    otherwise the oldest of all. Every operation takes constant time, however much is stored.
    """

    def __init__(
        self,
        *,
        lifetime: float,
        size: int,
        per_owner: int,
        on_removed: Callable[[Key], None] = lambda key: None,
    ) -> None:
        """Begin. The store calls `on_removed` for each key that expires or is pushed out, but not after `put`
        or `remove`.
        """
        self._lifetime = lifetime
        self._size = size
        self._per_owner = per_owner
        self._on_removed = on_removed
        self.entries: dict[Key, _Entry[Value]] = {}  # the oldest first
        self.by_owner: dict[str, dict[Key, None]] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def put(self, key: Key, value: Value, owner: str, now: float) -> None:
        """Store a value, in place of an older value of the same key."""
        self.remove(key)
        self.expire(now)
        owned = self.by_owner.get(owner, {})
        if len(owned) >= self._per_owner:
            self._drop(next(iter(owned)))
        elif len(self.entries) >= self._size:
            self._drop(next(iter(self.entries)))
        self.entries[key] = _Entry(value, owner, now + self._lifetime)
        self.by_owner.setdefault(owner, {})[key] = None

    def get(self, key: Key, now: float) -> Value | None:
        """Return the value of a key, or None if it is not here or has expired."""
        self.expire(now)
        entry = self.entries.get(key)
        return None if entry is None else entry.value

    def remove(self, key: Key) -> None:
        """Remove a key, if it is here."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            owned = self.by_owner[entry.owner]
            del owned[key]
            if not owned:
                del self.by_owner[entry.owner]

    def expire(self, now: float) -> None:
        """Remove all values that have expired."""
        while self.entries:
            key = next(iter(self.entries))
            if self.entries[key].expires > now:
                return
            self._drop(key)

    def _drop(self, key: Key) -> None:
        self.remove(key)
        self._on_removed(key)
