from __future__ import annotations

from core.udx.support import ALICE, BOB, Pair, packet
from peersockets_core.udx.packet import Flag


def test_a_run_is_one_transmission() -> None:
    pair = Pair()
    pair.alice.write(bytes(5 * 1152 + 7))
    pair.collect()
    ((_, data, size),) = pair.sent
    assert size == 1172
    assert len(data) == 6 * 20 + 5 * 1152 + 7
    pair.run()
    assert len(pair.received[BOB]) == 5 * 1152 + 7


def test_a_probe_has_padding_before_its_payload() -> None:
    pair = Pair()
    pair.alice.write(b"x" * 200_000)
    pair.run()
    probes = [data for _, data, size in pair.sent if data[3] and len(data) == size]
    assert [len(data) for data in probes] == [1172 + 255, 1472]
    assert probes[0][20:275] == bytes(255)
    assert pair.received[BOB] == b"x" * 200_000


def test_a_run_that_has_arrived_meanwhile_is_not_sent_again() -> None:
    pair = Pair()
    pair.alice.write(b"data")
    pair.collect()
    run = pair.alice.sending.tail_due(0.5)
    pair.alice.urgent.append(run)
    pair.alice.sending.receive_ack(1, [], 0.6)
    assert list(pair.endpoints[ALICE].datagrams_to_send(0.6)) == []


def test_ranges_leave_ahead_of_data() -> None:
    pair = Pair()
    pair.endpoints[BOB].receive_datagrams(packet(Flag.DATA, 5, 0, body=b"x"), 0, ALICE, 0.0)
    pair.bob.write(b"data")
    sent = [b"".join(buffers)[2] for _, buffers, _ in pair.endpoints[BOB].datagrams_to_send(0.0)]
    assert sent == [Flag.SACK, Flag.DATA]
