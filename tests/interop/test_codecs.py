"""Our codecs beside the real ones, on generated values and on hostile bytes, in both directions.

`STRICTER` lists every reason for which we refuse bytes that the reference accepts. No real encoder writes any
of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.wires.hypercore9.test_messages import any_message
from interop.codecs import Codecs, Refused, hexed, open_codecs
from peersockets_core import DEFAULT_LIMITS, DriveKey, KeyPair, RemoteProtocolError
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore9 import frames, messages, varint
from peersockets_core.wires.hypercore9.channels import capability
from peersockets_core.wires.hypercore9.frames import ExtensionRun, FrameParser, Item
from peersockets_core.wires.hypercore9.messages import BOOL, BYTES, STRING, UINT64
from peersockets_core.wires.hypercore11 import alpha
from peersockets_core.wires.hypercore11.encoding import (
    decode_buffer_untrusted,
    decode_string_untrusted,
    decode_uint_untrusted,
    encode_buffer,
    encode_uint,
)
from peersockets_core.wires.hypercore11.protomux import Mux

pytestmark = pytest.mark.interop

several = settings(max_examples=25)
"""Each example is a batch of values, for one message to the Node process and back."""

MAX_SAFE = 2**53 - 1
"""The largest integer that JavaScript represents exactly."""

EDGES = [0, 1, 127, 128, 252, 253, 254, 255, 256, 2**14 - 1, 2**14, 2**16 - 1, 2**16, 2**28, 2**31, 2**32 - 1]
EDGES += [2**32, 2**35, 2**42, 2**49, MAX_SAFE - 1, MAX_SAFE]
numbers = st.sampled_from(EDGES) | st.integers(0, MAX_SAFE)

STRICTER = (
    "varint of more than 8 bytes",  # the reference reads on, and loses digits
    "the message ends within a field",  # accepts the part that is there
    "wire type",  # reads the bytes as the field's own type
    "not UTF-8",  # puts U+FFFD; real encoders do that themselves, and write valid UTF-8
    "protobuf: the message ends within a number",  # reads a missing boolean as false
    "an extension message ends within its id",  # passes it on to the layer above, which ignores it
    "a batch ends within a message",  # accepts the part that is there
    "a frame ends within its header",  # waits for the header's next byte, and then refuses the frame
    "a batch within a batch",  # nests as deep as its stack allows
    "opened channel 0 out of order",  # rejects it
)


@pytest.fixture(scope="module")
def codecs9() -> Iterator[Codecs]:
    with open_codecs("hypercore9") as codecs:
        yield codecs


@pytest.fixture(scope="module")
def codecs11() -> Iterator[Codecs]:
    with open_codecs("hypercore11") as codecs:
        yield codecs


def raw(value: Any) -> bytes:
    """Return the bytes that a real codec returned."""
    assert isinstance(value, dict), value
    return bytes.fromhex(value["hex"])


def compare(ours: object, theirs: object) -> None:
    """Check that both results are the same, or that we are stricter for a known reason."""
    if isinstance(ours, RemoteProtocolError):
        stricter = any(reason in str(ours) for reason in STRICTER)
        assert stricter or isinstance(theirs, Refused), (str(ours), theirs)
    else:
        assert ours == theirs


# hypercore9: varints


@several
@given(st.lists(numbers, min_size=1, max_size=50))
@example(EDGES)
def test_varints(codecs9: Codecs, values: list[int]) -> None:
    encoded = [raw(data) for data in codecs9.run([("varint", "encode", value) for value in values])]
    assert encoded == [varint.encode(value) for value in values]
    decoded = codecs9.run([("varint", "decode", hexed(data)) for data in encoded])
    assert decoded == [[value, len(data)] for value, data in zip(values, encoded, strict=True)]


@several
@given(st.lists(st.binary(max_size=7), min_size=1, max_size=50))
@example([b"", b"\x80", b"\x80\0", b"\xff" * 6 + b"\x7f"])
def test_varints_of_any_bytes(codecs9: Codecs, values: list[bytes]) -> None:
    theirs = codecs9.run([("varint", "decode", hexed(data)) for data in values])
    for data, decoded in zip(values, theirs, strict=True):
        ours = varint.decode_untrusted(data, 0)
        assert isinstance(decoded, Refused) if ours is None else decoded == list(ours)


# hypercore9: protobuf


def their_node(node: bytes) -> dict[str, Any]:
    return {"index": len(node), "hash": hexed(node), "size": 7}


def our_node(node: bytes) -> bytes:
    """Return the encoding of `their_node`. Our codec leaves nodes encoded."""
    return b"\x08" + varint.encode(len(node)) + b"\x12" + varint.encode(len(node)) + node + b"\x18\x07"


def their_fields(message: Any) -> dict[str, Any]:
    """Return a message's fields as the reference names them."""
    fields: dict[str, Any] = {}
    for field in attrs.fields(type(message)):
        value = getattr(message, field.name)
        if field.name == "nodes" and isinstance(value, list):
            value = [their_node(node) for node in value]
        elif isinstance(value, bytes):
            value = hexed(value)
        fields["discoveryKey" if field.name == "discovery_key" else field.name] = value
    return fields


DEFAULTS = {BOOL: False, UINT64: 0, BYTES: None, STRING: ""}


def with_defaults(message: Any) -> dict[str, Any]:
    """Return the fields as the reference decodes them: a missing one is zero or false."""
    fields = their_fields(message)
    for field, name in zip(attrs.fields(type(message)), list(fields), strict=True):
        if fields[name] is None:
            fields[name] = DEFAULTS[field.metadata["kind"]]
    return fields


def encoded_as_ours(message: Any) -> bytes:
    if isinstance(message, messages.Data):
        message = attrs.evolve(message, nodes=[our_node(node) for node in message.nodes])
    return messages.encode(message)


def safe(message: Any) -> bool:
    values = (getattr(message, field.name) for field in attrs.fields(type(message)))
    return all(value <= MAX_SAFE for value in values if isinstance(value, int))


@several
@given(st.lists(any_message().filter(safe), min_size=1, max_size=30))
def test_messages(codecs9: Codecs, values: list[Any]) -> None:
    named = [(type(message).__name__, message) for message in values]
    encoded = codecs9.run([("message", "encode", name, their_fields(message)) for name, message in named])
    assert [raw(data) for data in encoded] == [encoded_as_ours(message) for message in values]
    decoded = codecs9.run(
        [("message", "decode", name, data) for (name, _), data in zip(named, encoded, strict=True)]
    )
    assert decoded == [with_defaults(message) for message in values]
    for message, data in zip(values, encoded, strict=True):
        again = messages.decode_untrusted(type(message), raw(data))
        assert messages.encode(again) == raw(data)


@st.composite
def hostile_protobuf(draw: st.DrawFn) -> tuple[type[Any], bytes]:
    """Draw a message with its fields in any order, repeated, unknown, of wrong types, too long, cut or
    damaged.
    """
    message_class = draw(st.sampled_from([c for c in messages.TYPES if c is not messages.Data]))
    body = b""
    for _ in range(draw(st.integers(0, 6))):
        number, wire_type = draw(st.integers(1, 6)), draw(st.sampled_from([0, 0, 0, 1, 2, 2, 2, 5]))
        body += varint.encode(number << 3 | wire_type)
        if wire_type == 0:
            # The reference takes one byte for a boolean and reads on after it. Real booleans have one byte.
            long = draw(st.sampled_from([b"\x80\0", b"\xff\x80\0"])) if number > 4 else b""
            body += long or bytes((draw(st.integers(0, 127)),))
        elif wire_type == 2:
            content = draw(st.binary(max_size=5))
            body += bytes((len(content),)) + content
        else:
            body += draw(st.binary(min_size=wire_type_size(wire_type), max_size=wire_type_size(wire_type)))
    if draw(st.booleans()):
        body = body[: draw(st.integers(0, len(body)))]
    return message_class, body


def wire_type_size(wire_type: int) -> int:
    return {1: 8, 5: 4}[wire_type]


def decoded_message(message_class: type[Any], body: bytes) -> object:
    try:
        return with_defaults(messages.decode_untrusted(message_class, body))
    except RemoteProtocolError as error:
        return error


@several
@given(st.lists(hostile_protobuf(), min_size=1, max_size=60))
@example([(messages.Open, b""), (messages.Options, b"\x0a\x01\xff"), (messages.Close, b"\x0a\x05ab")])
@example([(messages.Status, b"\x33"), (messages.Have, b"\x08\x01\x08\x02"), (messages.Want, b"\x08")])
def test_messages_of_hostile_bytes(codecs9: Codecs, values: list[tuple[type[Any], bytes]]) -> None:
    theirs = codecs9.run([("message", "decode", cls.__name__, hexed(body)) for cls, body in values])
    for (message_class, body), decoded in zip(values, theirs, strict=True):
        ours = decoded_message(message_class, body)
        compare(ours, decoded)


# hypercore9: frames


def heard(items: list[Item]) -> list[Any]:
    """Return items as messages of channel, type and body. An extension message's id belongs to its body."""
    said: list[Any] = []
    for item in items:
        if isinstance(item, ExtensionRun):
            said += [[0, 15, hexed(varint.encode(item.id) + payload)] for payload in item.payloads]
        else:
            said.append([item.channel, item.type, hexed(item.body)])
    return said


def parsed(pieces: list[bytes]) -> tuple[list[Any], RemoteProtocolError | None]:
    """Return the events of a stream in pieces, and the error that it ends in, or None."""
    parser, items = FrameParser(DEFAULT_LIMITS.frame_body), list[Item]()
    try:
        for piece in pieces:
            parser.parse_untrusted(piece, items)
    except RemoteProtocolError as error:
        return heard(items), error
    return heard(items), None


frame_values = st.tuples(st.integers(0, 2**24), st.integers(0, 14), st.binary(max_size=200)) | st.tuples(
    st.just(0), st.just(15), st.binary(max_size=200).map(lambda payload: b"\x05" + payload)
)


@several
@given(st.lists(frame_values, max_size=20), st.integers(1, 50))
def test_frames(codecs9: Codecs, values: list[tuple[int, int, bytes]], size: int) -> None:
    calls = [("frames", "encode", channel, kind, hexed(body)) for channel, kind, body in values]
    theirs = b"".join(map(raw, codecs9.run(calls)))
    assert theirs == b"".join(frames.encode(*value) for value in values)
    pieces = [theirs[start : start + size] for start in range(0, len(theirs), size)]
    expected = [[channel, kind, hexed(body)] for channel, kind, body in values]
    assert parsed(pieces) == (expected, None)
    decoded = codecs9.one("frames", "decode", [hexed(piece) for piece in pieces])
    assert decoded == {"heard": expected, "taken": True}


@several
@given(
    st.lists(
        st.lists(
            st.sampled_from(b"\0\1\2\3\x0f\x10\x1f\x7f\x80").map(lambda byte: bytes((byte,))), max_size=30
        ),
        max_size=30,
    )
)
@example([[b"\x01", b"\x80"], [b"\x01", b"\x80", b"\x01"], [b"\x03", b"\x0f", b"\x80", b"\0"]])
@example([[b"\x80", b"\x80", b"\x80", b"\x80", b"\x01"]])
def test_frames_of_hostile_bytes(codecs9: Codecs, values: list[list[bytes]]) -> None:
    calls = [("frames", "decode", [hexed(b"".join(pieces))]) for pieces in values]
    for pieces, theirs in zip(values, codecs9.run(calls), strict=True):
        said, error = parsed(pieces)
        if error is not None and "over the limit" in str(error):
            # The reference looks at a length when the next byte has come.
            theirs = codecs9.one("frames", "decode", [hexed(b"".join(pieces) + b"\0")])
        agree(said, error, {**theirs, "heard": list(map(shortest, theirs["heard"]))})


def shortest(message: list[Any]) -> list[Any]:
    """Return a message with its extension id in as few bytes as possible, however it was sent."""
    channel, kind, body = message
    decoded = varint.decode_untrusted(raw(body), 0) if (channel, kind) == (0, 15) else None
    if decoded is None:
        return message
    extension_id, start = decoded
    return [channel, kind, hexed(varint.encode(extension_id) + raw(body)[start:])]


def agree(said: list[Any], error: RemoteProtocolError | None, theirs: dict[str, Any]) -> None:
    """Check that both sides read the same messages, up to the point where we refuse the stream."""
    assert said == theirs["heard"][: len(said)]
    if error is None:
        assert theirs == {"heard": said, "taken": True}
    else:
        compare(error, theirs if theirs["taken"] else Refused(""))


# hypercore11: compact-encoding


@several
@given(st.lists(numbers, min_size=1, max_size=50))
@example(EDGES)
def test_uints(codecs11: Codecs, values: list[int]) -> None:
    encoded = [raw(data) for data in codecs11.run([("compact", "encode", "uint", value) for value in values])]
    assert encoded == [encode_uint(value) for value in values]
    decoded = codecs11.run([("compact", "decode", "uint", hexed(data)) for data in encoded])
    assert decoded == [[value, len(data)] for value, data in zip(values, encoded, strict=True)]


@several
@given(
    st.lists(st.text(max_size=300), min_size=1, max_size=20), st.lists(st.binary(max_size=300), max_size=20)
)
@example(["", "é", "😀", "\x00", "\ufeff", "\ufeffx", "x" * 253], [b"", bytes(252), bytes(253), bytes(2**16)])
def test_strings_and_buffers(codecs11: Codecs, texts: list[str], buffers: list[bytes]) -> None:
    calls = [("compact", "encode", "string", text) for text in texts]
    calls += [("compact", "encode", "buffer", hexed(data)) for data in buffers]  # type: ignore[misc]
    encoded = [raw(data) for data in codecs11.run(calls)]
    assert encoded == [encode_buffer(data) for data in [*map(str.encode, texts), *buffers]]
    for text, data in zip(texts, encoded, strict=False):
        assert decode_string_untrusted(data, 0, len(data)) == (text, len(data))
        assert codecs11.one("compact", "decode", "string", hexed(data)) == [text, len(data)]


compact_bytes = st.binary(max_size=12) | st.builds(
    lambda mark, rest: bytes((mark,)) + rest,
    st.sampled_from([0, 1, 3, 0xFC, 0xFD, 0xFE, 0xFF]),
    st.binary(max_size=12),
)
DECODERS: dict[str, Any] = {
    "uint": decode_uint_untrusted,
    "buffer": decode_buffer_untrusted,
    "string": decode_string_untrusted,
}


@several
@given(st.sampled_from(list(DECODERS)), st.lists(compact_bytes, min_size=1, max_size=60))
@example("uint", [b"\xff" + b"\xff" * 8, b"\xff\xff\xff\xff\xff\xff\xff\x1f\0", b"\xfd\0\0", b""])
@example("string", [b"\x01\xff", b"\x03\xef\xbb\xbf", b"\x02\xc0\x80"])
def test_compact_encodings_of_hostile_bytes(codecs11: Codecs, encoding: str, values: list[bytes]) -> None:
    theirs = codecs11.run([("compact", "decode", encoding, hexed(data)) for data in values])
    for data, decoded in zip(values, theirs, strict=True):
        try:
            value, end = DECODERS[encoding](data, 0, len(data))
        except RemoteProtocolError as error:
            compare(error, decoded)
            continue
        if isinstance(decoded, Refused):
            # There is one value that we accept and the reference does not: a number beyond its exact
            # integers.
            assert encoding == "uint"
            assert value > MAX_SAFE
        else:
            assert decoded == [hexed(value) if isinstance(value, bytes) else value, end]


# hypercore11: our messages of hypercore/alpha


@several
@given(st.lists(st.tuples(st.text(max_size=40), st.binary(max_size=100)), min_size=1, max_size=20))
def test_extension_messages(codecs11: Codecs, values: list[tuple[str, bytes]]) -> None:
    calls = [
        ("alpha", "encode", "extension", {"name": name, "message": hexed(body)}) for name, body in values
    ]
    ours = [encode_buffer(name.encode()) + body for name, body in values]
    assert [raw(data) for data in codecs11.run(calls)] == ours
    decoded = codecs11.run([("alpha", "decode", "extension", hexed(data)) for data in ours])
    assert decoded == [{"name": name, "message": hexed(body)} for name, body in values]


def test_the_other_messages_we_send(codecs11: Codecs) -> None:
    sync = codecs11.one("alpha", "decode", "sync", hexed(alpha.POLITE_SYNC))
    flags = {
        "canUpgrade": False,
        "uploading": True,
        "downloading": True,
        "hasManifest": False,
        "allowPush": False,
    }
    assert sync == {"fork": 0, "length": 0, "remoteLength": 0, **flags}
    refusal = codecs11.one("alpha", "decode", "noData", hexed(encode_uint(300)))
    assert refusal == {"request": 300, "reason": 0}
    handshake = codecs11.one("alpha", "decode", "handshake", hexed(encode_uint(0) + bytes(32)))
    assert handshake == {"seeks": False, "capability": hexed(bytes(32))}


# hypercore11: protomux

TYPES = 4


class Heard:
    """The handler of the channel "p" with id "id", which is number 1 on both sides."""

    def __init__(self) -> None:
        outbox = Outbox(limit=DEFAULT_LIMITS.send_buffer, reply_limit=DEFAULT_LIMITS.replies)
        self.mux = Mux(limits=DEFAULT_LIMITS, outbox=outbox)
        self.heard: list[Any] = []
        self.channel = self.mux.open("p", b"id", b"", self)
        self.mux.receive_untrusted(bytes.fromhex("000101017002") + b"id")
        self.mux.take_messages()

    def opened_untrusted(self, handshake: bytes) -> None:
        """Record nothing."""

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        if message_type < TYPES:  # the reference ignores others
            self.heard.append([message_type, hexed(data[start:end])])

    def closed(self) -> None:
        self.heard.append("closed")


mux_messages = st.lists(st.tuples(st.integers(0, TYPES - 1), st.binary(max_size=300)), max_size=10)


@several
@given(st.lists(mux_messages, min_size=1, max_size=10))
@example([[(0, b"")], [(1, bytes(251)), (1, bytes(252)), (1, bytes(2**16))]])
def test_messages_of_a_mux(codecs11: Codecs, batches: list[list[tuple[int, bytes]]]) -> None:
    for batch in batches:
        side = Heard()
        for message_type, body in batch:
            side.mux.send(side.channel, message_type, body)
        sent = [(message_type, hexed(body)) for message_type, body in batch]
        theirs = codecs11.run(
            [
                ("mux", "encode", TYPES, sent),
                ("mux", "decode", TYPES, [hexed(b"".join(chunks)) for _, chunks in side.mux.take_messages()]),
            ]
        )
        for message in theirs[0]:
            side.mux.receive_untrusted(raw(message))
        assert side.heard == [list(message) for message in sent]
        assert theirs[1] == {"heard": side.heard, "taken": True}


mux_bytes = st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 4, 5, 0xFD, 0x70]), min_size=1, max_size=14).map(
    bytes
)
"""Never empty: an empty message is a keepalive, which does not reach the mux."""


@several
@given(st.lists(st.lists(mux_bytes, max_size=4), min_size=1, max_size=40))
@example(
    [
        [bytes.fromhex("0000010200780000020301")],
        *([b"\0\0\1\2\0"], [b"\0\3\2"], [b"\0\2\1"], [b"\0\1\3\1p\0"]),
        [b"\2", b"\1\0"],  # no type, on a channel that is not open
    ]
)
def test_a_mux_hears_the_same_of_hostile_bytes(codecs11: Codecs, values: list[list[bytes]]) -> None:
    theirs = codecs11.run([("mux", "decode", TYPES, [*map(hexed, messages)]) for messages in values])
    for said, decoded in zip(values, theirs, strict=True):
        side = Heard()
        refused = None
        try:
            for message in said:
                side.mux.receive_untrusted(message)
        except RemoteProtocolError as error:
            refused = error
        agree(side.heard, refused, decoded)


# Keys

keys = st.binary(min_size=32, max_size=32)


@several
@given(st.lists(keys, min_size=1, max_size=30))
@example([bytes(32), b"\xff" * 32])
def test_keys(codecs9: Codecs, codecs11: Codecs, values: list[bytes]) -> None:
    for key in values:
        drive = DriveKey.parse(key)
        assert DriveKey.parse(drive.public_key.hex()) == DriveKey.parse(drive.url) == drive
        z32 = codecs11.one("keys", "z32", hexed(key))
        assert DriveKey.parse(z32) == drive
        assert (
            raw(codecs11.one("keys", "parse", z32))
            == raw(codecs11.one("keys", "parse", drive.public_key.hex()))
            == key
        )
        for codecs in (codecs9, codecs11):
            assert raw(codecs.one("keys", "discovery", hexed(key))) == drive.discovery_key
            assert raw(codecs.one("keys", "ed25519", hexed(key))) == KeyPair.from_seed(key).ed25519_public_key
        assert raw(codecs9.one("keys", "x25519", hexed(key))) == KeyPair.from_seed(key).x25519_public_key
        proof = codecs9.one("keys", "capability", hexed(key), hexed(drive.discovery_key), hexed(bytes(32)))
        assert raw(proof) == capability(drive, bytes(32), drive.discovery_key)


spellings = st.text("ybndrfg8ejkmcpqxot1uwisza345h769", min_size=52, max_size=52) | st.text(
    "0123456789abcdefABCDEFg ", min_size=64, max_size=64
)


@several
@given(st.lists(spellings, min_size=1, max_size=40))
@example(["y" * 52, "y" * 51 + "o", "l" * 52, "y" * 51 + "\u017f", "0" * 63 + "g", "0" * 62 + "  ", "F" * 64])
def test_spellings_of_keys(codecs11: Codecs, values: list[str]) -> None:
    theirs = codecs11.run([("keys", "parse", text) for text in values])
    for text, decoded in zip(values, theirs, strict=True):
        try:
            ours = DriveKey.parse(text)
        except ValueError:
            if not isinstance(decoded, Refused):
                # Four bits of the last character mean nothing, so this text is a second spelling of a key.
                assert len(text) == 52
                assert codecs11.one("keys", "z32", decoded) != text
            continue
        assert raw(decoded) == ours.public_key
