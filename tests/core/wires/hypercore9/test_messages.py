from __future__ import annotations

import contextlib
import sys
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import RemoteProtocolError
from peersockets_core.secret import Secret
from peersockets_core.wires.hypercore9 import messages
from peersockets_core.wires.hypercore9.messages import (
    BOOL,
    BYTES,
    STRING,
    UINT64,
    Cancel,
    ChannelMessage,
    Close,
    Data,
    Have,
    NoisePayload,
    Open,
    Options,
    Request,
    Status,
    Unhave,
    Unwant,
    Want,
)
from peersockets_core.work import FIELD, Work

_NODE = bytes.fromhex("08011220" + "09" * 32 + "1805")
"""A Data.Node, which the codec leaves encoded."""

# simple-hypercore-protocol 2.1.2, messages.js
VECTORS: list[tuple[ChannelMessage | NoisePayload, str]] = [
    (NoisePayload(nonce=bytes([7]) * 24), "0a18070707070707070707070707070707070707070707070707"),
    (
        Open(discovery_key=bytes([1]) * 32, capability=bytes([2]) * 32),
        "0a20010101010101010101010101010101010101010101010101010101010101010112200202020202020202020202020202020202020202020202020202020202020202",
    ),
    (
        Open(discovery_key=bytes([1]) * 32),
        "0a200101010101010101010101010101010101010101010101010101010101010101",
    ),
    (Options(extensions=["a", "é", "😀"], ack=True), "0a01610a02c3a90a04f09f98801001"),
    (Options(), ""),
    (Options(extensions=[""], ack=False), "0a001000"),
    (Status(uploading=False, downloading=True), "08001001"),
    (Status(), ""),
    (Status(downloading=False), "1000"),
    (Have(start=300, length=5, bitfield=bytes.fromhex("ff00"), ack=True), "08ac0210051a02ff002001"),
    (Unhave(start=9, length=1048576), "080910808040"),
    (Want(start=0, length=1048576), "080010808040"),
    (Want(start=5), "0805"),
    (Unwant(start=1, length=2), "08011002"),
    (Request(index=4294967296, bytes=3, hash=True, nodes=7), "088080808010100318012007"),
    (Request(index=1), "0801"),
    (Cancel(index=1, bytes=2, hash=False), "080110021800"),
    (
        Data(index=2, value=bytes.fromhex("76616c7565"), nodes=[_NODE], signature=bytes([3]) * 64),
        "0802120576616c75651a260801122009090909090909090909090909090909090909090909090909090909090909091805224003030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303",
    ),
    (Data(index=0, nodes=[]), "0800"),
    (
        Close(discovery_key=bytes([1]) * 32),
        "0a200101010101010101010101010101010101010101010101010101010101010101",
    ),
    (Close(), ""),
]


def ids(value: object) -> str | None:
    return type(value).__name__ if attrs.has(type(value)) else None


@pytest.mark.parametrize(("message", "encoded"), VECTORS, ids=ids)
def test_messages_are_encoded_like_the_reference(
    message: ChannelMessage | NoisePayload, encoded: str
) -> None:
    assert messages.encode(message).hex() == encoded


@pytest.mark.parametrize(("message", "encoded"), VECTORS, ids=ids)
def test_messages_of_the_reference_are_decoded(message: ChannelMessage | NoisePayload, encoded: str) -> None:
    assert messages.decode_untrusted(type(message), bytes.fromhex(encoded)) == message


@pytest.mark.parametrize(("message", "encoded"), VECTORS, ids=ids)
def test_a_truncated_message_is_refused_or_lacks_whole_fields(
    message: ChannelMessage | NoisePayload, encoded: str
) -> None:
    data = bytes.fromhex(encoded)
    for size in range(len(data)):
        try:
            shorter = messages.decode_untrusted(type(message), data[:size])
        except RemoteProtocolError as error:
            assert "protobuf" in str(error)  # noqa: PT017
        else:
            assert data.startswith(messages.encode(shorter)[:size])


@pytest.mark.parametrize(
    ("body", "message"), [("0800", Have(0, length=1)), ("0809", Unhave(9, length=1))], ids=ids
)
def test_a_missing_length_is_one(body: str, message: ChannelMessage) -> None:
    assert messages.decode_untrusted(type(message), bytes.fromhex(body)) == message


def test_a_message_for_every_type_number() -> None:
    assert (
        Open, Options, Status, Have, Unhave, Want, Unwant, Request, Cancel, Data, Close,
    ) == messages.TYPES  # fmt: skip


BAD: dict[str, tuple[type[ChannelMessage | NoisePayload], str, str]] = {
    "no field where one is required": (Open, "", "Open without discovery_key"),
    "only an optional field": (Open, "1200", "Open without discovery_key"),
    "no nonce": (NoisePayload, "", "NoisePayload without nonce"),
    "a field's number without its value": (Status, "08", "ends within a number"),
    "a field's number cut": (Status, "88", "ends within a number"),
    "a value cut": (Status, "0880", "ends within a number"),
    "a length without bytes": (Close, "0a01", "ends within a field"),
    "a length beyond everything": (Close, "0affffffffffffff7f", "ends within a field"),
    "a length cut": (Close, "0a", "ends within a number"),
    "a number of nine bytes": (Status, "08ffffffffffffffffff01", "varint of more than 8 bytes"),
    "a tag of nine bytes": (Status, "ffffffffffffffffff01", "varint of more than 8 bytes"),
    "a fixed64 cut": (Close, "2100000000000000", "ends within a field"),
    "a fixed32 cut": (Close, "25000000", "ends within a field"),
    "a group": (Close, "13", "unknown wire type 3"),
    "the end of a group": (Close, "14", "unknown wire type 4"),
    "wire type 6": (Close, "16", "unknown wire type 6"),
    "wire type 7": (Close, "17", "unknown wire type 7"),
    "a number where bytes should be": (Close, "0801", "Close.discovery_key has wire type 0"),
    "bytes where a number should be": (Status, "0a0101", "Status.uploading has wire type 2"),
    "a fixed64 where a number should be": (Have, "09" + "00" * 8, "Have.start has wire type 1"),
    "a fixed32 where bytes should be": (Open, "0d" + "00" * 4, "Open.discovery_key has wire type 5"),
    "a number in a list of strings": (Options, "0801", "Options.extensions has wire type 0"),
    "Latin-1": (Options, "0a01e9", "not UTF-8"),
    "a surrogate in UTF-8": (Options, "0a03eda080", "not UTF-8"),
    "an overlong zero": (Options, "0a02c080", "not UTF-8"),
    "half a character": (Options, "0a02f09f", "not UTF-8"),
}


@pytest.mark.parametrize(("message_class", "body", "reason"), BAD.values(), ids=BAD)
def test_bad_protobuf_is_the_remotes_fault(
    message_class: type[ChannelMessage | NoisePayload], body: str, reason: str
) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        messages.decode_untrusted(message_class, bytes.fromhex(body))


@pytest.mark.parametrize(
    "unknown", ["7805", "79" + "00" * 8, "7a03616263", "7d" + "00" * 4], ids=["varint", "64", "bytes", "32"]
)
def test_unknown_fields_are_skipped(unknown: str) -> None:
    body = bytes.fromhex(f"{unknown}0801{unknown}1000{unknown}")
    assert messages.decode_untrusted(Status, body) == Status(uploading=True, downloading=False)


def test_the_last_value_of_a_repeated_field_counts() -> None:
    assert messages.decode_untrusted(Have, bytes.fromhex("08010802")) == Have(2)


def test_any_number_but_zero_is_true() -> None:
    assert messages.decode_untrusted(Status, bytes.fromhex("08ac02")) == Status(uploading=True)


def test_a_list_is_bounded() -> None:
    body = b"\x0a\0" * 3
    assert messages.decode_untrusted(Options, body, max_items=3) == Options(["", "", ""])
    with pytest.raises(RemoteProtocolError, match=r"Options.extensions: more than 3 items"):
        messages.decode_untrusted(Options, body + b"\x0a\0", max_items=3)


def test_only_a_capability_is_a_secret() -> None:
    for proof in (Open(b"", b"x").capability, messages.decode_untrusted(Open, b"\x0a\0\x12\1x").capability):
        assert type(proof) is Secret
    assert Open(b"").capability is None
    for value in (Open(b"x").discovery_key, Close(b"x").discovery_key, Data(0, b"x").value):
        assert type(value) is bytes
    assert type(Status(True).uploading) is bool


@pytest.mark.parametrize("budget", [1, FIELD, FIELD + 1, 2 * FIELD, 3 * FIELD, 1000])
def test_a_message_is_decoded_in_slices(budget: int) -> None:
    """Each field costs the same, and unknown fields count as well."""
    body = b"\x0a\x01a" + b"\x78\0" + b"\x0a\x01b" + b"\x10\x01"
    work = Work()
    decoder = messages.Decoder(Options, body)
    sizes, message, slices = [], None, 0
    while message is None:
        work.left = budget
        message = decoder.go_on_untrusted(work)
        slices += 1
        sizes.append(decoder.kept - len(body))
        assert work.left <= budget - (FIELD if message is None else 0)
    assert message == Options(["a", "b"], ack=True)
    fields = -(-budget // FIELD)
    assert slices == 4 // fields + 1
    memory = sys.getsizeof("a")
    assert sizes[-1] == decoder.items_size == 2 * memory
    assert sizes[0] == memory * (1 if fields < 3 else 2)


@pytest.mark.parametrize("size", [0, 1, 10])
def test_the_memory_of_a_list_is_bounded_exactly(size: int) -> None:
    names = ["a", "b" * size, "é"]
    memory = sum(map(sys.getsizeof, names))
    body = messages.encode(Options(names))
    work = Work()
    assert messages.Decoder(Options, body, max_size=memory).go_on_untrusted(work) == Options(names)
    with pytest.raises(
        RemoteProtocolError, match=rf"^Options.extensions: more than {memory - 1} bytes of memory$"
    ):
        messages.Decoder(Options, body, max_size=memory - 1).go_on_untrusted(work)


VALUES: dict[messages.FieldType, st.SearchStrategy[Any]] = {
    BYTES: st.binary(max_size=40),
    STRING: st.text(max_size=6),
    UINT64: st.integers(0, 2**56 - 1),
    BOOL: st.booleans(),
}


@st.composite
def any_message(draw: st.DrawFn) -> ChannelMessage | NoisePayload:
    message_class = draw(st.sampled_from([NoisePayload, *messages.TYPES]))
    values: dict[str, Any] = {}
    for field in attrs.fields(message_class):
        value = VALUES[field.metadata["kind"]]
        if "repeated" in field.metadata:
            values[field.name] = draw(st.lists(value, max_size=3))
        elif field.default is attrs.NOTHING or draw(st.booleans()):
            values[field.name] = draw(value)
    return message_class(**values)


@given(any_message())
def test_round_trip(message: ChannelMessage | NoisePayload) -> None:
    assert messages.decode_untrusted(type(message), messages.encode(message)) == message


@given(st.sampled_from([NoisePayload, *messages.TYPES]), st.binary(max_size=60))
def test_arbitrary_bytes_raise_no_other_error(
    message_class: type[ChannelMessage | NoisePayload], body: bytes
) -> None:
    with contextlib.suppress(RemoteProtocolError):
        messages.decode_untrusted(message_class, body, max_items=4)
