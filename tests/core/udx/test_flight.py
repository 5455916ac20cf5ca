from __future__ import annotations

from peersockets_core.udx.flight import Fate, Flight, Run


def flight(*counts: int) -> Flight:
    made, first = Flight(), 10
    for count in counts:
        made.add(Run(first, count, 100, bytes(count * 100)))
        first += count
    return made


def spans(runs: list[Run]) -> list[tuple[int, int]]:
    return [(run.first, run.end) for run in runs]


def test_acknowledged_packets_are_split_off() -> None:
    made = flight(5, 5)
    assert (made.in_flight, made.outstanding) == (1200, 1000)
    assert spans(made.remove(10, 12)) == [(10, 12)]
    assert spans(made.remove(13, 17)) == [(13, 15), (15, 17)]
    assert spans(made.runs) == [(12, 13), (17, 20)]
    assert (made.in_flight, made.outstanding) == (480, 400)
    assert made.remove(13, 17) == []
    assert made.remove(0, 5) == []
    assert made.remove(30, 40) == []
    assert spans(made.remove(0, 100)) == [(12, 13), (17, 20)]
    assert (made.in_flight, made.outstanding, made.runs) == (0, 0, [])


def test_lost_packets_are_sent_again_in_order() -> None:
    made = flight(5, 5)
    made.lose(made.runs[0])
    assert made.in_flight == 600
    made.remove(12, 13)
    assert (made.in_flight, made.outstanding) == (600, 900)
    taken = [made.take_lost(1), made.take_lost(5), made.take_lost(5)]
    assert sorted(spans(taken)) == [(10, 11), (11, 12), (13, 15)] or sorted(spans(taken)) == [
        (10, 12),
        (13, 14),
        (14, 15),
    ]
    assert not made.has_lost
    assert all(run.fate is Fate.SENT and run.retransmitted for run in taken)
    assert made.in_flight == 1080


def test_packets_counted_as_lost_may_still_arrive() -> None:
    made = flight(5)
    made.lose(made.runs[0])
    made.remove(10, 15)
    assert not made.has_lost
    assert (made.in_flight, made.outstanding) == (0, 0)


def test_the_last_packet_is_sent_again() -> None:
    made = flight(3)
    assert spans([made.take_last()]) == [(12, 13)]
    assert spans(made.runs) == [(10, 12), (12, 13)]
    assert made.in_flight == 360
    made.lose(made.runs[0])
    made.lose(made.runs[1])
    made.take_last()
    assert made.in_flight == 120
    made = flight(3)
    made.lose(made.runs[0])
    made.take_last()
    assert made.in_flight == 120
    assert spans([made.take_lost(9)]) == [(10, 12)]
