from __future__ import annotations

import attrs
import pytest

from core.support import KEY, OTHER_KEY
from peersockets_core import (
    DEFAULT_LIMITS,
    DriveClosed,
    DriveKey,
    DriveOpened,
    Event,
    LocalProtocolError,
    MessagesReceived,
    MessageTooLarge,
    RemoteProtocolError,
)
from peersockets_core.limits import Limits
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore11.alpha import ALIASES, PROTOCOL, Core, ExtensionSender, capability
from peersockets_core.wires.hypercore11.batching import MAX_BATCH
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.protomux import Mux
from peersockets_core.wires.hypercore11.secret_stream import MAX_PLAINTEXT, namespace
from peersockets_core.wires.keys import Keys

DISCOVERY_KEY = KEY.discovery_key
HASH = bytes([0x11]) * 64
KEYS = Keys(bytes(32), bytes(32), HASH, bytes(32))
SYNC = b"\0\x06\0\0\0"
"""A message of hypercore that offers to upload and download, but has no blocks."""


class Side:
    """The drives of one side, the bytes they send, and their events."""

    def __init__(self, *, initiator: bool = True, limits: Limits = DEFAULT_LIMITS) -> None:
        outbox = Outbox(limit=limits.send_buffer, reply_limit=limits.replies)
        self.mux = Mux(limits=limits, outbox=outbox, aliases=ALIASES)
        self.mux.pair(PROTOCOL, None, self._paired)
        self.initiator = initiator
        self.limits = limits
        self.events: list[Event] = []
        self.cores: dict[bytes, Core] = {}

    def open(self, key: DriveKey = KEY) -> Core:
        core = self.cores[key.discovery_key] = Core(
            self.mux, KEYS, key, initiator=self.initiator, limits=self.limits, events=self.events
        )
        return core

    def _paired(self, protocol: str, discovery_key: bytes) -> bool:
        assert protocol == PROTOCOL
        core = self.cores.get(discovery_key)
        if core is not None:
            core.offer()
        return False

    def sender(self, name: str, key: DriveKey = KEY) -> ExtensionSender:
        return ExtensionSender(self.mux, self.cores[key.discovery_key], name)

    def say(self, *messages: bytes) -> list[Event]:
        self.events.clear()
        for message in messages:
            self.mux.receive_untrusted(message)
        return list(self.events)

    def take(self) -> list[bytes]:
        messages = [(size, b"".join(chunks)) for size, chunks in self.mux.take_messages()]
        assert all(size == len(message) for size, message in messages)
        return [message for _, message in messages]


def theirs(key: DriveKey = KEY, *, number: int = 1, flags: int = 0, proof: bytes | None = None) -> bytes:
    """Return the message that a responder opens a drive with."""
    if proof is None:
        proof = capability(KEYS, key.public_key, initiator=False)
    name = encode_buffer(b"hypercore/alpha") + encode_buffer(key.discovery_key)
    return b"\0\x01" + encode_uint(number) + name + encode_uint(flags) + proof


def closing(number: int = 1) -> bytes:
    return b"\0\x03" + encode_uint(number)


def extension(name: str, payload: bytes, number: int = 1) -> bytes:
    return encode_uint(number) + b"\x09" + encode_buffer(name.encode()) + payload


def opened() -> Side:
    side = Side()
    side.open()
    assert side.say(theirs()) == [DriveOpened(DISCOVERY_KEY)]
    side.take()
    return side


def test_capabilities_match_the_reference() -> None:
    # hypercore 11.37.1, lib/caps.js: replicate
    assert [constant.hex() for constant in namespace(b"hypercore", 3)[1:]] == [
        "51812a2a359b50369536775df89e18e47740f3db72ac0ae70b29594c194dc316",
        "0438492d02970cc13528ac0262bca0074e0926260256865accc0bf15bd79127d",
    ]
    assert [capability(KEYS, KEY.public_key, initiator=role).hex() for role in (True, False)] == [
        "f6e009105d58c8d55936960870a86e65ab9cfd65245c5ff8a67bb36d5a6272b9",
        "56a2fd660153c58c45988e22643566e5a1e719e92552d7138241039f96e5e932",
    ]


@pytest.mark.parametrize("initiator", [True, False])
def test_opening_a_drive_offers_it_once(initiator: bool) -> None:
    side = Side(initiator=initiator)
    core = side.open()
    proof = capability(KEYS, KEY.public_key, initiator=initiator)
    body = theirs(proof=proof)[1:]
    assert side.take() == [b"\0\0\0" + encode_buffer(body)]
    assert core.channel is None
    core.offer()
    assert side.take() == []


def test_sync_is_sent_once_when_both_have_opened() -> None:
    side = Side()
    core = side.open()
    side.take()
    assert side.say(theirs()) == [DriveOpened(DISCOVERY_KEY)]
    assert side.take() == [b"\0\0\1" + encode_buffer(SYNC)]
    assert core.channel is not None
    assert side.say(b"\x01" + SYNC, b"\x01\0\0\0\0\0") == []
    assert side.take() == []


@pytest.mark.parametrize("flags", [0, 1, 2, 2**40])
def test_flags_in_the_remotes_handshake_are_ignored(flags: int) -> None:
    side = Side()
    side.open()
    assert side.say(theirs(flags=flags)) == [DriveOpened(DISCOVERY_KEY)]


PROOFS = {
    "missing": b"",
    "short": capability(KEYS, KEY.public_key, initiator=False)[:-1],
    "zeros": bytes(32),
    "our own, reflected": capability(KEYS, KEY.public_key, initiator=True),
    "of another drive": capability(KEYS, OTHER_KEY.public_key, initiator=False),
}


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS)
def test_a_bad_capability_is_the_remotes_fault(proof: bytes) -> None:
    side = Side()
    side.open()
    side.take()
    with pytest.raises(RemoteProtocolError, match=f"invalid remote capability for drive {KEY}"):
        side.say(theirs(proof=proof))
    assert side.events == []
    assert side.take() == []


def test_a_missing_handshake_is_refused() -> None:
    side = Side()
    side.open()
    with pytest.raises(RemoteProtocolError, match="ends within a number"):
        side.say(theirs()[:-33])


def test_a_drive_that_is_not_open_here_is_refused() -> None:
    side = Side()
    for _ in range(3):
        assert side.say(theirs(OTHER_KEY)) == []
        assert side.take() == [b"\0\0\0\x02\x02\x01"]


@pytest.mark.parametrize("request_id", [0, 1, 252, 253, 2**40])
def test_requests_get_no_data(request_id: int) -> None:
    side = opened()
    number = encode_uint(request_id)
    assert side.say(b"\x01\x01\x01" + number + b"\0\x05\0") == []
    assert side.take() == [b"\0\0\x01" + encode_buffer(b"\x04" + number)]


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x01\xfd"])
def test_requests_cut_short(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="ends within a number"):
        opened().say(b"\x01\x01" + body)


@pytest.mark.parametrize("message_type", [0, 2, 3, 4, 5, 6, 7, 8, 10, 11, 252, 253, 2**40])
@pytest.mark.parametrize("body", [b"", b"\xff\xff"])
def test_everything_else_is_ignored(message_type: int, body: bytes) -> None:
    side = opened()
    assert side.say(b"\x01" + encode_uint(message_type) + body) == []
    assert side.take() == []


# Names


def test_a_repeated_name_is_left_out() -> None:
    side = opened()
    chat, other = side.sender("chat"), side.sender("other")
    for sender, payload in ((chat, b"1"), (chat, b"2"), (chat, b"3"), (other, b"4"), (chat, b"5")):
        sender.send(payload)
    sent = [b"\x09\x04chat1", b"\x09\x002", b"\x09\x003", b"\x09\x05other4", b"\x09\x04chat5"]
    assert side.take() == [b"\0\0\x01" + b"".join(map(encode_buffer, sent))]
    chat.send(b"6")
    assert side.take() == [b"\0\0\x01" + encode_buffer(b"\x09\x006")]


def test_two_senders_of_one_name_and_two_drives() -> None:
    side = opened()
    side.open(OTHER_KEY)
    side.say(theirs(OTHER_KEY, number=2))
    side.take()
    side.sender("chat").send(b"1")
    side.sender("".join(["ch", "at"])).send(b"2")
    side.sender("chat", OTHER_KEY).send(b"3")
    side.sender("chat").send(b"4")
    assert side.take() == [
        b"\0\0\x01"
        + b"".join(map(encode_buffer, (b"\x09\x04chat1", b"\x09\x002")))
        + b"\0\x02"
        + encode_buffer(b"\x09\x04chat3")
        + b"\0\x01"
        + encode_buffer(b"\x09\x004")
    ]


def test_the_remote_may_leave_out_a_repeated_name() -> None:
    side = opened()
    heard = side.say(
        extension("a", b"1"),
        extension("", b"2"),
        extension("a", b""),
        extension("b", b"3"),
        extension("", b""),
        extension("a", b"4"),
    )
    assert heard == [
        MessagesReceived(DISCOVERY_KEY, "a", [b"1", b"2", b""]),
        MessagesReceived(DISCOVERY_KEY, "b", [b"3", b""]),
        MessagesReceived(DISCOVERY_KEY, "a", [b"4"]),
    ]


def test_an_empty_name_repeats_the_last_one_however_its_length_is_encoded() -> None:
    side = opened()
    events = side.say(extension("chat", b"1"), b"\x01\x09\xfd\0\0" + b"2", b"\x01\x09\0" + b"3")
    assert events == [MessagesReceived(DISCOVERY_KEY, "chat", [b"1", b"2", b"3"])]


def test_names_in_a_batch() -> None:
    side, far = opened(), opened()
    long = "n" * 300
    chats = {name: side.sender(name) for name in ("a", "b", long)}
    spoken = [("a", b"1"), ("a", b""), ("b", b"2"), ("a", b"3"), (long, b"4"), (long, b"5"), ("b", b"6")]
    for name, payload in spoken:
        chats[name].send(payload)
    (batch,) = side.take()
    assert batch.count(b"\x09\x01a") == 2
    assert far.say(batch) == [
        MessagesReceived(DISCOVERY_KEY, "a", [b"1", b""]),
        MessagesReceived(DISCOVERY_KEY, "b", [b"2"]),
        MessagesReceived(DISCOVERY_KEY, "a", [b"3"]),
        MessagesReceived(DISCOVERY_KEY, long, [b"4", b"5"]),
        MessagesReceived(DISCOVERY_KEY, "b", [b"6"]),
    ]


def test_a_name_repeated_in_a_batch() -> None:
    batch = b"\0\0\x01" + encode_buffer(b"\x09\x01a1") + encode_buffer(b"\x09\x01a2")
    assert opened().say(batch) == [MessagesReceived(DISCOVERY_KEY, "a", [b"1", b"2"])]


@pytest.mark.parametrize("message", [b"\x09\x01\xff", b"\x09\x05abcd", b"\x09\xfd\x01", b"\x09\xfd\x04\0abc"])
def test_a_bad_name_in_a_batch(message: bytes) -> None:
    side = opened()
    with pytest.raises(RemoteProtocolError, match=r"ends within|not UTF-8"):
        side.say(b"\0\0\x01" + encode_buffer(b"\x09\x01a1") + encode_buffer(message))
    assert side.events == [MessagesReceived(DISCOVERY_KEY, "a", [b"1"])]


def test_a_name_over_the_limit_in_a_batch() -> None:
    side = Side(limits=attrs.evolve(DEFAULT_LIMITS, extension_name=3))
    side.open()
    side.say(theirs())
    batch = b"\0\0\x01" + encode_buffer(b"\x09\x03abc1") + encode_buffer(b"\x09\x04abcd2")
    with pytest.raises(RemoteProtocolError, match="an extension's name of 4 bytes"):
        side.say(batch)
    assert side.events == [MessagesReceived(DISCOVERY_KEY, "abc", [b"1"])]


def test_two_senders_of_one_name() -> None:
    side, far = opened(), opened()
    for number in range(4):
        side.sender("chat").send(b"%d" % number)
    (batch,) = side.take()
    assert batch.count(b"chat") == 1
    assert far.say(batch) == [MessagesReceived(DISCOVERY_KEY, "chat", [b"0", b"1", b"2", b"3"])]


def test_last_names_belong_to_their_drive() -> None:
    side = opened()
    side.open(OTHER_KEY)
    side.say(theirs(OTHER_KEY, number=2))
    heard = side.say(
        extension("a", b"1"), extension("b", b"2", 2), extension("", b"3"), extension("", b"4", 2)
    )
    assert heard == [
        MessagesReceived(key.discovery_key, name, [payload])
        for key, name, payload in (
            (KEY, "a", b"1"),
            (OTHER_KEY, "b", b"2"),
            (KEY, "a", b"3"),
            (OTHER_KEY, "b", b"4"),
        )
    ]


def test_a_name_left_out_before_the_first_one() -> None:
    assert opened().say(extension("", b"x")) == [MessagesReceived(DISCOVERY_KEY, "", [b"x"])]


def test_a_name_of_the_limit_and_one_byte_more() -> None:
    side = opened()
    name = "n" * DEFAULT_LIMITS.extension_name
    assert side.say(extension(name, b"x")) == [MessagesReceived(DISCOVERY_KEY, name, [b"x"])]
    with pytest.raises(RemoteProtocolError, match="an extension's name of 262145 bytes"):
        side.say(extension(name + "n", b"x"))
    # The size alone is enough.
    with pytest.raises(RemoteProtocolError, match="an extension's name of"):
        side.say(b"\x01\x09" + encode_uint(2**60))


@pytest.mark.parametrize("body", [b"", b"\x01", b"\xfd\x01", b"\x02\xff\xff", b"\x05abcd"])
def test_names_that_are_cut_short_or_not_utf_8(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"ends within|not UTF-8"):
        opened().say(b"\x01\x09" + body)


# Closing and opening again


def test_the_remote_refuses_and_opens_later() -> None:
    side = Side()
    core = side.open()
    assert side.say(b"\0\x02\x01") == []
    assert core.channel is None
    side.take()
    assert side.say(theirs()) == [DriveOpened(DISCOVERY_KEY)]
    proof = capability(KEYS, KEY.public_key, initiator=True)
    (frame,) = side.take()
    assert frame == b"\0\0\0" + encode_buffer(theirs(proof=proof)[1:]) + b"\0\1" + encode_buffer(SYNC)


def test_the_remote_closes_and_opens_again() -> None:
    side = opened()
    core = side.cores[DISCOVERY_KEY]
    chat = side.sender("chat")
    chat.send(b"1")
    side.take()
    assert side.say(extension("a", b"1"), closing()) == [
        MessagesReceived(DISCOVERY_KEY, "a", [b"1"]),
        DriveClosed(DISCOVERY_KEY),
    ]
    assert core.channel is None
    assert side.say(closing(), extension("a", b"late")) == []
    assert side.take() == []
    # Both directions start again without a last name.
    assert side.say(theirs(), extension("", b"x")) == [
        DriveOpened(DISCOVERY_KEY),
        MessagesReceived(DISCOVERY_KEY, "", [b"x"]),
    ]
    side.take()
    chat.send(b"2")
    assert side.take() == [b"\0\0\x01" + encode_buffer(b"\x09\x04chat2")]


@pytest.mark.parametrize("size", [b"\x03", b"\xfd\x03\0", b"\xfe\x03\0\0\0", b"\xff\x03\0\0\0\0\0\0\0"])
def test_a_size_in_a_batch_may_be_longer_than_necessary(size: bytes) -> None:
    side = opened()
    side.say(extension("n", b"first"))
    batch = b"\0\0\x01" + b"\x03\x09\0a" + size + b"\x09\0b" + b"\x03\x09\0c"
    events = side.say(batch)
    assert [payload for event in events for payload in getattr(event, "payloads", [])] == [b"a", b"b", b"c"]


def test_a_sender_within_one_batch_across_closing_and_opening() -> None:
    side = opened()
    chat = side.sender("chat")
    chat.send(b"1")
    chat.send(b"2")
    side.say(closing(), theirs())
    chat.send(b"3")
    (frame,) = side.take()
    assert frame.endswith(encode_buffer(SYNC) + encode_buffer(b"\x09\x04chat3"))


def test_a_sender_after_the_end() -> None:
    side = opened()
    chat = side.sender("chat")
    chat.send(b"1")
    side.say(closing())
    side.take()
    with pytest.raises(LocalProtocolError, match=f"drive {KEY} is no longer open on both sides"):
        chat.send(b"2")
    assert side.take() == []

    side = opened()
    chat = side.sender("chat")
    chat.send(b"1")
    side.cores[DISCOVERY_KEY].close()
    side.cores[DISCOVERY_KEY].close()
    with pytest.raises(LocalProtocolError, match="no longer open"):
        chat.send(b"2")
    assert side.take() == [
        b"\0\0\1" + encode_buffer(b"\x09\x04chat1") + b"\0\0" + encode_buffer(b"\x03\x01"),
    ]


def test_our_side_closes_and_reports_nothing() -> None:
    side = opened()
    side.cores.pop(DISCOVERY_KEY).close()
    assert side.take() == [b"\0\0\0" + encode_buffer(b"\x03\x01")]
    assert side.say(closing(), extension("a", b"x")) == []


# Sizes


def test_sizes() -> None:
    side = opened()
    chat = side.sender("chat")
    largest = MAX_PLAINTEXT - 2 - 5
    chat.check_size(largest)
    with pytest.raises(MessageTooLarge) as raised:
        chat.check_size(largest + 1)
    assert (raised.value.size, raised.value.largest) == (largest + 1, largest)
    chat.send(b"x")
    side.take()
    with pytest.raises(MessageTooLarge):
        chat.send(bytes(largest + 1))
    assert side.take() == []
    chat.send(bytes(largest))
    (frame,) = side.take()
    assert frame == b"\x01\x09\0" + bytes(largest)


@pytest.mark.parametrize(
    "size", [0, 1, 250, 251, 252, 253, 254, 65_500, *range(MAX_BATCH - 25, MAX_BATCH + 2)]
)
def test_messages_of_any_size_are_heard(size: int) -> None:
    side, far = opened(), opened()
    chat = side.sender("chat")
    for _ in range(3):
        chat.send(bytes(size))
    assert far.say(*side.take()) == [MessagesReceived(DISCOVERY_KEY, "chat", [bytes(size)] * 3)]


def test_messages_of_many_sizes_are_heard() -> None:
    side, far = opened(), opened()
    chat = side.sender("chat")
    payloads = [bytes(size) for size in range(700)]
    for payload in payloads:
        chat.send(payload)
    assert side.mux.outbox.size == sum(map(len, side.mux.outbox.chunks))
    assert far.say(*side.take()) == [MessagesReceived(DISCOVERY_KEY, "chat", payloads)]
