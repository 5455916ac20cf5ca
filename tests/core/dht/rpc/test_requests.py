"""Requests in flight, with a clock that the test sets."""

from __future__ import annotations

import math

import attrs

from core.dht.support import entropy
from peersockets_core.address import SocketAddress
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import RpcRequest, RpcResponse
from peersockets_core.dht.rpc.requests import PendingRequest, RequestOptions, Requests, Socket

THERE = ("10.0.0.9", 1)


@attrs.define(eq=False)
class Asker:
    heard: list[tuple[str, int, float]] = attrs.field(factory=list)

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        self.heard.append(("answered", request.message.tid, now))

    def slow(self, request: PendingRequest, now: float) -> None:
        self.heard.append(("slow", request.message.tid, now))

    def timed_out(self, request: PendingRequest, now: float) -> None:
        self.heard.append(("timed out", request.message.tid, now))

    @property
    def fates(self) -> list[str]:
        return [fate for fate, _, _ in self.heard]


def deliver(requests: Requests, response: RpcResponse, source: SocketAddress, now: float) -> bool:
    pending = requests.asked(response.tid, source)
    if pending is not None:
        requests.answer(pending, response, now)
    return pending is not None


def pool(now: float = 0.0, **limits: int) -> Requests:
    return Requests(entropy(1), DhtLimits(**limits), now)


def ask(requests: Requests, asker: Asker, now: float = 0.0, **options: float) -> PendingRequest:
    message = RpcRequest(requests.new_tid(THERE), THERE, 0, internal=True)
    return requests.add(message, asker, RequestOptions(0, **options), Socket.MAIN, now)  # type: ignore[arg-type]


def test_an_answer_reaches_its_asker_once() -> None:
    requests, asker = pool(), Asker()
    pending = ask(requests, asker)
    ((to, datagram),) = requests.output(0.0)
    assert (to, datagram) == (THERE, pending.datagram)
    response = RpcResponse(pending.message.tid, ("10.0.0.1", 2))
    assert deliver(requests, response, THERE, 0.3)
    assert not deliver(requests, response, THERE, 0.4)
    assert asker.heard == [("answered", pending.message.tid, 0.3)]
    assert len(requests) == 0
    assert requests.next_deadline() == math.inf


def test_an_answer_from_elsewhere_or_with_another_id_is_ignored() -> None:
    requests, asker = pool(), Asker()
    tid = ask(requests, asker).message.tid
    requests.output(0.0)
    for host, port, other in (("10.0.0.9", 2, tid), ("10.0.0.8", 1, tid), (*THERE, tid ^ 1)):
        assert not deliver(requests, RpcResponse(other, THERE), (host, port), 0.1)
    assert not asker.heard


def test_a_request_is_sent_four_times_with_the_same_bytes() -> None:
    requests, asker = pool(), Asker()
    pending = ask(requests, asker)
    sent = requests.output(0.0)
    times = []
    while (deadline := requests.next_deadline()) < math.inf:
        requests.handle_deadline(deadline)
        times.append(deadline)
        sent += requests.output(deadline)
    assert times == [1.0, 2.0, 3.0, 4.0]
    assert sent == [(THERE, pending.datagram)] * 4
    assert asker.fates == ["slow", "timed out"]
    assert (requests.retried, requests.timeouts) == (3, 1)


def test_an_early_look_changes_nothing() -> None:
    requests, asker = pool(), Asker()
    ask(requests, asker)
    requests.output(0.0)
    requests.handle_deadline(0.9)
    assert not requests.output(0.9)
    assert requests.next_deadline() == 1.0


def test_a_request_may_have_a_timeout_and_retries_of_its_own() -> None:
    requests, asker = pool(), Asker()
    ask(requests, asker, retries=0, timeout=3.0)
    requests.output(0.0)
    assert requests.next_deadline() == 3.0
    requests.handle_deadline(3.0)
    assert asker.fates == ["slow", "timed out"]


def test_a_cancelled_request_is_forgotten() -> None:
    requests, asker = pool(), Asker()
    pending = ask(requests, asker)
    requests.output(0.0)
    requests.cancel(pending)
    requests.cancel(pending)
    assert not deliver(requests, RpcResponse(pending.message.tid, THERE), THERE, 0.1)
    assert requests.next_deadline() == math.inf
    requests.handle_deadline(9.0)
    assert not asker.heard


def test_an_asker_that_gives_up_when_it_is_slow() -> None:
    requests = pool()

    class Impatient(Asker):
        def slow(self, request: PendingRequest, now: float) -> None:
            super().slow(request, now)
            requests.cancel(request)

    asker = Impatient()
    ask(requests, asker)
    requests.output(0.0)
    requests.handle_deadline(1.0)
    assert asker.fates == ["slow"]
    assert not requests.output(1.0)


def test_requests_beyond_the_window_wait() -> None:
    requests, asker = pool(window=2), Asker()
    pending = [ask(requests, asker) for _ in range(5)]
    assert len(requests.output(0.0)) == 2
    assert requests.next_deadline() == 0.75
    requests.cancel(pending[2])
    assert [datagram for _, datagram in requests.output(0.75)] == [pending[3].datagram, pending[4].datagram]


def test_a_request_that_was_not_sent_yet_takes_no_answer() -> None:
    requests, asker = pool(window=1), Asker()
    _, waiting = ask(requests, asker), ask(requests, asker)
    requests.output(0.0)
    assert not deliver(requests, RpcResponse(waiting.message.tid, THERE), THERE, 0.1)
    requests.cancel(waiting)
    assert len(requests) == 1


def test_repetitions_wait_for_the_window_too() -> None:
    requests, asker = pool(window=1), Asker()
    ask(requests, asker)
    requests.output(0.0)
    ask(requests, asker)
    requests.handle_deadline(0.75)
    assert len(requests.output(0.75)) == 1
    requests.handle_deadline(1.0)  # the first request is due again, and the slot is full
    assert not requests.output(1.0)
    assert len(requests.output(4.0)) == 1


def test_ids_in_use_are_not_drawn_again() -> None:
    drawn = iter([bytes(128), bytes(2) + b"\x00\x01" + bytes(124)])
    requests = Requests(lambda size: next(drawn), DhtLimits(), 0.0)
    first = ask(requests, Asker()).message.tid
    for _ in range(63):
        assert requests.new_tid(("10.0.0.8", 1)) == first == 0
    tids = {requests.new_tid(THERE) for _ in range(1)}
    assert tids == {1}


def test_the_number_of_requests_is_bounded() -> None:
    requests = pool(requests=2)
    assert not requests.full
    ask(requests, Asker())
    ask(requests, Asker())
    assert requests.full
