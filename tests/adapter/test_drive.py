"""`peersockets_trio.drive`: opening, joining, watching, closing."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import KEY, WIRE, connect_memory, limited, meet
from peersockets_trio import DriveKey, PeerJoined, PeerLeft, open_node
from peersockets_trio.testing import join_side


@pytest.mark.parametrize(
    "key", [KEY, KEY.public_key, KEY.public_key.hex(), KEY.url, f"{KEY.url[:-1]}+7/a/file"]
)
async def test_every_form_of_a_key(key: DriveKey | bytes | str) -> None:
    async with open_node() as node, node.open_drive(key) as drive:
        assert drive.key == KEY


async def test_the_members_of_a_drive() -> None:
    async with meet() as (alice, bob):
        assert list(alice.drive.peers) == [1]
        assert alice.drive.peers[1].public_key == bob.node.public_keys[WIRE]
        with pytest.raises(TypeError):
            alice.drive.peers[2] = alice.drive.peers[1]  # type: ignore[index]
        present = alice.drive.peers
        bob.drive.close()
        assert isinstance(await alice.events.receive(), PeerLeft)
        assert not alice.drive.peers
        assert list(present) == [1], "a mapping that was handed out stays as it was"


async def test_a_connection_without_the_drive_makes_no_member() -> None:
    with limited():
        async with open_node() as alice, open_node() as bob, alice.open_drive(KEY) as drive:
            await connect_memory(bob, alice)
            await trio.testing.wait_all_tasks_blocked()
            assert not drive.peers
            async with bob.open_drive(KEY):
                assert (await join_side(alice, drive)).peer_id == 1


@pytest.mark.parametrize(
    ("topic", "error", "text"),
    [
        (b"chat", TypeError, "topic must be str, not bytes"),
        (None, TypeError, "topic must be str, not NoneType"),
        ("\ud800", ValueError, "topic must not contain lone surrogates"),
        ("a\udfffb", ValueError, "topic must not contain lone surrogates"),
    ],
)
async def test_a_topic_must_be_text(topic: Any, error: type[Exception], text: str) -> None:
    async with open_node() as node, node.open_drive(KEY) as drive:
        with pytest.raises(error, match=text):
            drive.join(topic)


async def test_an_unknown_overflow_is_refused() -> None:
    overflow: Any = "explode"
    async with open_node() as node, node.open_drive(KEY) as drive:
        with pytest.raises(ValueError, match=r"overflow must be one of wait, .*, not 'explode'"):
            drive.join("chat", overflow=overflow)
        async with drive.join("chat") as chat:
            assert chat.name == "chat"


@pytest.mark.parametrize(
    "topic", ["", "chat", "plaud\N{LATIN SMALL LETTER U WITH DIAERESIS}", "\U0001f5e8", "x" * 65536]
)
async def test_topics_of_every_kind(topic: str) -> None:
    async with meet() as (alice, bob), alice.drive.join(topic) as here, bob.drive.join(topic) as there:
        await here.send(alice.peer_id, b"hello")
        assert (await there.receive()).message == b"hello"


async def test_closing_a_drive_closes_its_topics_and_watches() -> None:
    async with meet() as (alice, _):
        topic, events = alice.drive.join("chat"), alice.drive.watch()
        alice.drive.close()
        alice.drive.close()
        assert alice.drive.closed
        assert topic.closed
        assert events.closed
        for use in (lambda: alice.drive.join("chat"), alice.drive.watch):
            with pytest.raises(trio.ClosedResourceError, match="Drive is closed"):
                use()


async def test_others_see_closing_as_a_leave_and_opening_as_a_join() -> None:
    async with meet() as (alice, bob):
        await bob.drive.aclose()
        assert isinstance(await alice.events.receive(), PeerLeft)
        async with bob.node.open_drive(KEY) as again:
            assert await alice.events.receive() == PeerJoined(1, bob.node.public_keys[WIRE], WIRE)
            assert (await join_side(bob.node, again)).peer_id == bob.peer_id
        assert isinstance(await alice.events.receive(), PeerLeft)


async def test_openings_of_one_drive_are_independent() -> None:
    async with meet() as (alice, bob):
        async with bob.node.open_drive(KEY) as second, second.join("chat") as inbox:
            bob.drive.close()
            assert list(second.peers) == [bob.peer_id]
            async with alice.drive.join("chat") as chat:
                await chat.send(alice.peer_id, b"hello")
            assert (await inbox.receive()).message == b"hello"
            with pytest.raises(trio.WouldBlock):
                alice.events.receive_nowait()
        assert isinstance(await alice.events.receive(), PeerLeft)


async def test_leaving_the_block_by_an_exception_closes() -> None:
    async with open_node() as node:
        with pytest.raises(ZeroDivisionError):
            async with node.open_drive(KEY) as drive:
                raise ZeroDivisionError
        assert drive.closed


async def test_reprs_show_the_state_and_no_key() -> None:
    async with meet() as (alice, bob):
        chat = alice.drive.join("chat")
        assert repr(alice.node) == "<Node 1 connections, 1 drives>"
        assert repr(alice.drive).startswith(f"<Drive {KEY.discovery_key[:8].hex()}, 1 members, ")
        assert repr(chat) == f"<Topic 'chat' of {KEY}, 0 messages wait>"
        watch = alice.drive.watch()
        assert repr(watch) == f"<PeerEvents of {KEY}, 1 events wait>"
        chat.close()
        assert repr(chat) == f"<Topic 'chat' of {KEY}, closed>"
        alice.drive.close()
        assert repr(alice.drive) == f"<Drive {KEY}, closed>"
        assert repr(watch) == f"<PeerEvents of {KEY}, closed>"
        for shown in (alice.node, alice.drive, chat, watch, bob.drive):
            assert KEY.public_key.hex() not in repr(shown)
    assert repr(alice.node) == "<Node, closed>"
