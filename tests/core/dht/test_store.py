"""The bounded store, compared with a model of it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from peersockets_core.dht.store import BoundedStore

LIFETIME, SIZE, PER_OWNER = 10.0, 6, 3
KEYS, OWNERS = st.integers(0, 9), st.sampled_from("abc")


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.removed: list[int] = []
        self.store: BoundedStore[int, int] = BoundedStore(
            lifetime=LIFETIME, size=SIZE, per_owner=PER_OWNER, on_removed=self.removed.append
        )
        self.model: dict[int, tuple[int, str, float]] = {}
        self.now = 0.0

    def expire(self) -> None:
        for key in [key for key, (_, _, put) in self.model.items() if put + LIFETIME <= self.now]:
            del self.model[key]

    @rule(key=KEYS, value=st.integers(), owner=OWNERS)
    def put(self, key: int, value: int, owner: str) -> None:
        self.store.put(key, value, owner, self.now)
        self.model.pop(key, None)
        self.expire()
        owned = [other for other, (_, whose, _) in self.model.items() if whose == owner]
        if len(owned) >= PER_OWNER:
            del self.model[owned[0]]
        elif len(self.model) >= SIZE:
            del self.model[next(iter(self.model))]
        self.model[key] = (value, owner, self.now)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        self.expire()
        expected = self.model.get(key)
        assert self.store.get(key, self.now) == (None if expected is None else expected[0])

    @rule(key=KEYS)
    def remove(self, key: int) -> None:
        self.store.remove(key)
        self.model.pop(key, None)

    @rule(seconds=st.floats(0, LIFETIME))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.store.expire(self.now)
        self.expire()

    @invariant()
    def as_in_the_model(self) -> None:
        assert list(self.store.entries) == list(self.model)
        assert len(self.store) == len(self.model) <= SIZE
        owners = {owner for _, owner, _ in self.model.values()}
        assert set(self.store.by_owner) == owners


TestStore = StoreMachine.TestCase


def test_records_that_expire_are_reported() -> None:
    removed: list[str] = []
    store: BoundedStore[str, int] = BoundedStore(lifetime=5, size=2, per_owner=9, on_removed=removed.append)
    store.put("a", 1, "x", 0.0)
    store.put("a", 2, "x", 1.0)
    store.put("b", 3, "x", 1.0)
    store.remove("b")
    assert not removed
    store.put("c", 4, "x", 2.0)
    store.put("d", 5, "x", 2.0)
    assert removed == ["a"]
    assert store.get("c", 7.0) is None
    assert removed == ["a", "c", "d"]


def test_a_store_needs_no_listener() -> None:
    store: BoundedStore[str, int] = BoundedStore(lifetime=5, size=1, per_owner=1)
    store.put("a", 1, "x", 0.0)
    store.put("b", 2, "y", 0.0)
    assert (store.get("a", 0.0), store.get("b", 0.0)) == (None, 2)
