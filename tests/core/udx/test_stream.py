from __future__ import annotations

import pytest

from core.udx.support import ALICE, BOB, Pair
from peersockets_core import LocalProtocolError
from peersockets_core.udx import State, StreamClosed, StreamEnded


@pytest.mark.parametrize("size", [0, 1, 1152, 100_000, 3_000_000])
def test_bytes_arrive_and_both_sides_end(size: int) -> None:
    pair = Pair()
    data = bytes(range(251)) * (size // 251 + 1)
    if size:
        pair.alice.write(data[:size])
    pair.alice.end()
    pair.bob.write(b"answer")
    pair.bob.end()
    pair.run()
    assert pair.received[BOB] == data[:size]
    assert pair.received[ALICE] == b"answer"
    for name in (ALICE, BOB):
        assert len(pair.of(name, StreamEnded)) == 1
        (closed,) = pair.of(name, StreamClosed)
        assert isinstance(closed, StreamClosed)
        assert closed.error is None
        assert pair.endpoints[name].streams == {}
    assert pair.alice.state is pair.bob.state is State.CLOSED


def test_before_it_is_connected_nothing_is_sent() -> None:
    pair = Pair(connect=False)
    with pytest.raises(LocalProtocolError):
        pair.alice.write(b"x")
    with pytest.raises(LocalProtocolError):
        pair.alice.end()
    with pytest.raises(LocalProtocolError):
        pair.alice.send_message(b"x")
    assert pair.alice.state is State.OPEN
