"""Stdin and stdout as lines."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import trio

from peersockets_core import PeerJoined, PeerLeft
from peersockets_trio.cli.ending import Ending
from peersockets_trio.cli.lines import Output, input_lines, member_event

KEY = b"k" * 32


def let_stdin_be(pieces: Iterable[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = iter([*pieces, b""])
    monkeypatch.setattr("peersockets_trio.cli.streams.read", lambda size: next(waiting))


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        ([b"one\ntwo\n"], [b"one", b"two"]),
        ([b"o", b"ne", b"\nt", b"wo"], [b"one", b"two"]),
        ([b"\n\n"], [b"", b""]),
        ([b"a\xff\x00b\r\n"], [b"a\xff\x00b\r"]),
    ],
)
async def test_lines_in_pieces_of_any_size(
    pieces: list[bytes], lines: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_stdin_be(pieces, monkeypatch)
    assert [line async for line in input_lines(Ending())] == lines


async def test_events_are_one_line_of_json_each(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = Output(Ending())
    output.write(event="message", text="a\nb \u202e")
    output.write_line([b"in ", b"pieces\n"])
    output.finish()
    await output.run()
    first, second = capfdbinary.readouterr().out.splitlines()
    assert first == b'{"event":"message","text":"a\\nb \\u202e"}'
    assert second == b"in pieces"


async def test_input_is_read_again_once_the_reader_has_caught_up(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    output = Output(Ending())
    await output.room()
    output.write_line([bytes(2 * 1024 * 1024)])
    async with trio.open_nursery() as nursery:
        with trio.move_on_at(trio.current_time()) as scope:
            await output.room()
        assert scope.cancelled_caught
        nursery.start_soon(output.run)
        await output.room()
        output.finish()
    assert len(capfdbinary.readouterr().out) == 2 * 1024 * 1024


def test_members_as_events() -> None:
    joined = member_event(PeerJoined(3, KEY, "hypercore9"))
    assert (joined["event"], joined["peerId"], joined["publicKey"]) == ("join", 3, KEY.hex())
    left = member_event(PeerLeft(3, KEY, "hypercore9", "it has gone", 7))
    assert (left["event"], left["peerId"], left["reason"]) == ("leave", 3, "it has gone")
