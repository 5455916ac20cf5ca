from __future__ import annotations

import json
import struct

import pytest

from peersockets_core import RemoteProtocolError
from peersockets_trio.browser.frames import (
    RECORD_HEAD,
    CloseHandle,
    JoinTopic,
    WatchMembers,
    read_binary_untrusted,
    read_text_untrusted,
    write_messages,
    write_text,
)
from peersockets_trio.browser.limits import LARGEST_BATCH, LARGEST_TEXT, LARGEST_TOPIC


def record(handle: int, peer_id: int, message: bytes) -> bytes:
    return struct.pack(">III", handle, peer_id, len(message)) + message


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('["join",1,"chat"]', JoinTopic(1, "chat")),
        (' [ "join" , 4294967295 , "" ] ', JoinTopic(0xFFFFFFFF, "")),
        ('["join",1,"\\ud83d\\ude00"]', JoinTopic(1, "\U0001f600")),
        (json.dumps(["join", 1, "a" * LARGEST_TOPIC]), JoinTopic(1, "a" * LARGEST_TOPIC)),
        ('["watch",2]', WatchMembers(2)),
        ('["close",3]', CloseHandle(3)),
    ],
)
def test_commands(text: str, command: object) -> None:
    assert read_text_untrusted(text) == command


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not JSON"),
        ('["join",1,"chat"', "not JSON"),
        ("[" * 100_000, "not JSON"),
        (f'["watch",{"9" * 5000}]', "not JSON"),
        ("{}", "none of"),
        ("null", "none of"),
        ('"join"', "none of"),
        ("[]", "none of"),
        ('["join",1]', "none of"),
        ('["join",1,2]', "none of"),
        ('["join",1,"chat",0]', "none of"),
        ('["watch"]', "none of"),
        ('["leave",1]', "none of"),
        ('[["join"],1,"chat"]', "none of"),
        ('["watch",0]', "not an integer from 1"),
        ('["watch",-1]', "not an integer from 1"),
        ('["watch",4294967296]', "not an integer from 1"),
        ('["watch",1.0]', "not an integer from 1"),
        ('["watch",NaN]', "not an integer from 1"),
        ('["watch",true]', "not an integer from 1"),
        ('["close","1"]', "not an integer from 1"),
        ('["join",null,"chat"]', "not an integer from 1"),
        ('["join",1,"\\ud800"]', "lone surrogates"),
        (json.dumps(["join", 1, "a" * (LARGEST_TOPIC + 1)]), "a topic is larger than 65536 bytes"),
        (json.dumps(["join", 1, "ä" * (LARGEST_TOPIC // 2 + 1)]), "a topic is larger than 65536 bytes"),
        ('["watch",1]' + " " * LARGEST_TEXT, "a text frame is larger than 524288 bytes"),
    ],
)
def test_faulty_text(text: str, fault: str) -> None:
    with pytest.raises(RemoteProtocolError, match=fault):
        read_text_untrusted(text)


def test_a_message_alone_and_in_a_batch() -> None:
    alone = struct.pack(">II", 1, 2) + b"abc"
    assert read_binary_untrusted(alone) == [(1, 2, b"abc")]
    assert read_binary_untrusted(alone[:8]) == [(1, 2, b"")]
    batch = bytes(4) + record(1, 2, b"abc") + record(3, 4, b"") + record(1, 4, b"d")
    assert read_binary_untrusted(batch) == [(1, 2, b"abc"), (3, 4, b""), (1, 4, b"d")]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "shorter than its head"),
        (b"\0\0\0\1\0\0\0", "shorter than its head"),
        (bytes(4), "no record"),
        (bytes(4) + record(1, 2, b"abc")[:-1], "within a message"),
        (bytes(4) + record(1, 2, b"abc") + bytes(11), "within the head"),
        (bytes(4) + struct.pack(">III", 1, 2, 0xFFFFFFFF), "within a message"),
        (bytes(4) + record(0, 2, b"abc"), "has the handle 0"),
        (bytes(4) + record(1, 2, bytes(LARGEST_BATCH)), "a batch is larger than"),
    ],
)
def test_faulty_binary(data: bytes, fault: str) -> None:
    with pytest.raises(RemoteProtocolError, match=fault):
        read_binary_untrusted(data)


def test_frames_for_the_page() -> None:
    assert write_text(1, "leave", 2, "ä", 0) == '[1,"leave",2,"\\u00e4",0]'
    assert write_messages([RECORD_HEAD.pack(1, 2, 3), b"abc"], 1) == bytes.fromhex("0000000100000002616263")
    chunks = [RECORD_HEAD.pack(1, 2, 1), b"a", RECORD_HEAD.pack(3, 4, 0), b""]
    assert write_messages(chunks, 2) == bytes(4) + record(1, 2, b"a") + record(3, 4, b"")
