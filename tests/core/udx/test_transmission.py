from __future__ import annotations

from core.udx.support import BOB, Pair


def test_a_run_is_one_transmission() -> None:
    pair = Pair()
    pair.alice.write(bytes(5 * 1152 + 7))
    pair.collect()
    ((_, data, size),) = pair.sent
    assert size == 1172
    assert len(data) == 6 * 20 + 5 * 1152 + 7
    pair.run()
    assert len(pair.received[BOB]) == 5 * 1152 + 7
