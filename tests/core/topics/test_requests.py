"""`peersockets_core.topics.requests`: the books of requests."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from peersockets_core import Limits, Message, PeerGone, Request, RequestBook, RequestError, RequestStatistics
from peersockets_core.topics.envelope import LARGEST_ID, Kind, encode
from peersockets_core.topics.requests import Answering, Asked, News, OverLimit

KEY = bytes(32)


def make_book(*, serving: bool = True, first_id: int = 1, **limits: int) -> RequestBook:
    book = RequestBook(Limits(**limits), itertools.count(first_id))
    book.serving = serving
    return book


def receive(book: RequestBook, kind: Kind, number: int, body: Any = None, *, peer_id: int = 1) -> News | None:
    return book.receive_untrusted(Message(peer_id, encode(kind, number, body), KEY))


def request(book: RequestBook, number: int, data: bytes = b"", *, peer_id: int = 1) -> Answering:
    news = receive(book, Kind.REQUEST, number, data, peer_id=peer_id)
    assert isinstance(news, Answering)
    return news


def ask(book: RequestBook, peer_id: int = 1) -> Asked:
    return book.ask(peer_id, book.new_id(peer_id))


# Asking


def test_replies_find_their_requests_in_any_order() -> None:
    book = make_book()
    asked = [ask(book, peer_id) for peer_id in (1, 2, 1)]
    for ours in reversed(asked):
        data = b"for %d" % ours.id
        assert receive(book, Kind.REPLY, ours.id, data, peer_id=ours.peer_id) is ours
        assert ours.result() == data
    assert book.statistics() == RequestStatistics()
    assert not book.peers


def test_an_error_is_raised() -> None:
    book = make_book()
    asked = ask(book)
    assert receive(book, Kind.ERROR, asked.id, "no") is asked
    with pytest.raises(RequestError, match=r"^no$") as caught:
        asked.result()
    assert caught.value.text == "no"


def test_the_text_of_an_error_must_be_text() -> None:
    """The mistake raises when the error is made, and not when it is sent."""
    for text in (None, 5, b"no"):
        with pytest.raises(TypeError, match="text must be str, not "):
            RequestError(text)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lone surrogates"):
        RequestError("\ud800")


def test_only_the_peer_that_was_asked_can_answer_and_only_once() -> None:
    book = make_book()
    asked = ask(book)
    assert receive(book, Kind.REPLY, asked.id, b"forged", peer_id=2) is None
    assert receive(book, Kind.REPLY, asked.id + 1, b"early") is None
    assert receive(book, Kind.REPLY, asked.id, b"right") is asked
    assert receive(book, Kind.REPLY, asked.id, b"again") is None
    assert receive(book, Kind.ERROR, asked.id, "again") is None
    assert asked.result() == b"right"
    assert book.statistics() == RequestStatistics(unexpected=4)


def test_a_withdrawn_request_needs_a_cancel_and_takes_no_reply() -> None:
    book = make_book()
    asked, answered = ask(book), ask(book)
    assert book.withdraw(asked)
    assert receive(book, Kind.REPLY, asked.id, b"late") is None
    assert receive(book, Kind.REPLY, answered.id, b"in time") is answered
    assert not book.withdraw(answered)


def test_ids_begin_again_and_skip_those_in_use() -> None:
    book = make_book(first_id=LARGEST_ID)
    assert [ask(book).id for _ in range(2)] == [LARGEST_ID, 0]
    crowded = RequestBook(Limits(), iter([5, 5 + 2**32, 6]))
    assert [ask(crowded).id for _ in range(2)] == [5, 6]


def test_a_peer_id_must_be_a_number() -> None:
    with pytest.raises(TypeError, match="peer_id must be int, not list"):
        make_book().new_id([])  # type: ignore[arg-type]


# Answering


def test_requests_of_several_peers_may_have_the_same_id() -> None:
    book = make_book()
    first, second = request(book, 7, b"a"), request(book, 7, b"b", peer_id=2)
    assert first.request == Request(1, KEY, b"a")
    assert second.request == Request(2, KEY, b"b")
    assert book.statistics().answering == 2
    assert book.finish(first)
    assert book.finish(second)
    assert book.statistics() == RequestStatistics()


def test_a_repeated_id_is_ignored_while_in_progress_and_new_after_that() -> None:
    book = make_book()
    answering = request(book, 7)
    assert receive(book, Kind.REQUEST, 7, b"again") is None
    assert book.statistics().unexpected == 1
    book.finish(answering)
    assert request(book, 7) is not answering


def test_cancelled_requests_are_not_wanted_but_still_count() -> None:
    book = make_book(peer_requests=1)
    answering = request(book, 7)
    assert receive(book, Kind.CANCEL, 7, peer_id=2) is None
    assert receive(book, Kind.CANCEL, 7) is answering
    assert not answering.wanted
    assert receive(book, Kind.CANCEL, 7) is None
    assert receive(book, Kind.REQUEST, 8, b"") == OverLimit(1, 8)
    assert not book.finish(answering)
    request(book, 8)


def test_requests_without_a_server_are_unexpected() -> None:
    book = make_book(serving=False)
    assert receive(book, Kind.REQUEST, 1, b"") is None
    assert receive(book, Kind.CANCEL, 1) is None
    assert book.statistics() == RequestStatistics(unexpected=2)


def test_requests_of_each_peer_are_bounded() -> None:
    book = make_book(peer_requests=2)
    first, _ = request(book, 1), request(book, 2)
    assert receive(book, Kind.REQUEST, 3, b"") == OverLimit(1, 3)
    request(book, 3, peer_id=2)
    book.finish(first)
    request(book, 3)
    assert book.statistics() == RequestStatistics(answering=3, refused=1)


def test_requests_of_all_peers_together_are_bounded() -> None:
    book = make_book(requests=2)
    first, _ = request(book, 1), request(book, 1, peer_id=2)
    assert receive(book, Kind.REQUEST, 1, b"", peer_id=3) == OverLimit(3, 1)
    book.finish(first)
    request(book, 1, peer_id=3)


def test_the_data_of_requests_is_bounded() -> None:
    book = make_book(request_bytes=100)
    first, _ = request(book, 1, bytes(99)), request(book, 2, bytes(1000))
    assert receive(book, Kind.REQUEST, 3, b"", peer_id=2) == OverLimit(2, 3)
    book.finish(first)
    assert receive(book, Kind.REQUEST, 3, b"", peer_id=2) == OverLimit(2, 3)


def test_messages_that_are_no_envelopes_are_counted() -> None:
    book = make_book()
    for message in (b"", b"hello", b"\x81" * 1000):
        assert book.receive_untrusted(Message(1, message, KEY)) is None
    assert book.statistics() == RequestStatistics(malformed=3)


def test_refused_and_ignored_messages_leave_nothing_behind() -> None:
    book = make_book(peer_requests=1)
    answering = request(book, 0)
    for number in range(1000):
        for kind, body in ((Kind.REQUEST, b""), (Kind.REPLY, b""), (Kind.ERROR, ""), (Kind.CANCEL, None)):
            if number:
                receive(book, kind, number, body)
            receive(book, kind, number, body, peer_id=2) if kind is not Kind.REQUEST else None
    book.finish(answering)
    assert not book.peers
    assert (book.asked, book.answering, book.answering_count, book.answering_bytes) == ({}, {}, 0, 0)


# Leaving


def test_losing_a_peer_ends_only_its_own_requests_and_ours_to_it() -> None:
    book = make_book()
    ours, others = ask(book), ask(book, 2)
    theirs, others_theirs = request(book, 1), request(book, 1, peer_id=2)
    assert book.peers == {1, 2}
    assert book.lose(1) == [ours, theirs]
    with pytest.raises(PeerGone, match="peer 1 is gone"):
        ours.result()
    assert (theirs.wanted, others_theirs.wanted, others.error) == (False, True, None)
    assert book.lose(1) == []
    assert not book.finish(theirs)
    assert book.peers == {2}


def test_closing_ends_everything() -> None:
    book = make_book()
    in_progress = [ask(book), ask(book), ask(book, 2), request(book, 1)]
    closed = book.close(ZeroDivisionError)
    assert {id(concerned) for concerned in closed} == {id(concerned) for concerned in in_progress}
    for concerned in closed:
        if isinstance(concerned, Asked):
            with pytest.raises(ZeroDivisionError):
                concerned.result()
        else:
            assert not concerned.wanted
    errors = [concerned.error for concerned in closed if isinstance(concerned, Asked)]
    assert len({id(error) for error in errors}) == 3


@pytest.mark.parametrize(
    ("text", "error"), [(5, TypeError), (b"no", TypeError), (None, TypeError), ("\ud800", ValueError)]
)
def test_an_error_takes_only_valid_text(text: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="text must"):
        RequestError(text)
    assert RequestError("no").text == "no"


def test_a_new_book_serves_nobody() -> None:
    book = RequestBook(Limits(), itertools.count(1))
    assert receive(book, Kind.REQUEST, 1, b"") is None
    assert book.statistics() == RequestStatistics(unexpected=1)


def test_our_requests_are_counted_and_keep_their_owner() -> None:
    book, owner = make_book(), object()
    assert book.ask(1, book.new_id(1), owner).owner is owner
    for peer_id in (1, 2):
        ask(book, peer_id)
    assert book.statistics() == RequestStatistics(asked=3)


def test_the_data_of_all_requests_counts_until_they_are_finished() -> None:
    book = make_book(request_bytes=10)
    first, second = request(book, 1, b"12345"), request(book, 2, b"12345")
    for number in (3, 4):
        assert receive(book, Kind.REQUEST, number, b"") == OverLimit(1, number)
    assert book.statistics().refused == 2
    for answering in (first, second):
        assert book.finish(answering)
    request(book, 5, b"123456789")
    request(book, 6, b"")
    assert book.statistics().refused == 2
