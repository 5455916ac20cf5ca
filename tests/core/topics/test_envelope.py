"""`peersockets_core.topics.envelope`: the bytes of requests and replies, and hostile ones."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import RemoteProtocolError
from peersockets_core.topics.envelope import LARGEST_ID, Envelope, Kind, decode_untrusted, encode

# Encoded by hand from RFC 8949.
KNOWN = {
    "8300004568656c6c6f": Envelope(Kind.REQUEST, 0, data=b"hello"),
    "83001740": Envelope(Kind.REQUEST, 23),
    "8301181840": Envelope(Kind.REPLY, 24),
    "830118ff4100": Envelope(Kind.REPLY, 255, data=b"\0"),
    "8301190100581a" + "07" * 26: Envelope(Kind.REPLY, 256, data=b"\7" * 26),
    "8302190100626e6f": Envelope(Kind.ERROR, 256, text="no"),
    "83021a0001000062c3bc": Envelope(Kind.ERROR, 65_536, text="ü"),
    "82031affffffff": Envelope(Kind.CANCEL, LARGEST_ID),
    "8300015a00010000" + "61" * 65_536: Envelope(Kind.REQUEST, 1, data=b"a" * 65_536),
}

HOSTILE = {
    "nothing": "",
    "one array too little": "00",
    "an empty array": "80",
    "no id": "8200",
    "no body": "830001",
    "too many items": "8400014100",
    "a cancel with a body": "83030140",
    "a cancel followed by bytes": "82030140",
    "an unknown kind": "83040140",
    "a request's text": "83000160",
    "a reply's text": "83010160",
    "an error's bytes": "83020140",
    "text that is not UTF-8": "83020161ff",
    "text with a lone surrogate": "83020163eda080",
    "bytes that follow": "8300014000",
    "another envelope that follows": "8300014083000140",
    "bytes cut short": "8300014261",
    "bytes of 4 GiB": "8300015affffffff61",
    "bytes of half of everything": "8300015b7fffffffffffffff61",
    "bytes of everything": "8300015bffffffffffffffff61",
    "text of everything": "8302017bffffffffffffffff61",
    "a reserved length": "8300015c",
    "endless bytes": "8300015f4161ff",
    "endless text": "8302017f6161ff",
    "an endless array": "9f000140ff",
    "a longer array head": "980300014000",
    "a longer kind": "8318000140",
    "a longer id": "8300180140",
    "an id in eight bytes": "83001b000000000000000140",
    "an id of five bytes": "83001b000000010000000040",
    "a negative id": "83002040",
    "an id that is a bool": "8300f540",
    "an id that is a float": "8300f93c0040",
    "an id that is a bignum": "8300c2410140",
    "a kind that is a float": "83f900000140",
    "a longer body": "830001580161",
    "an array for a body": "83000180",
    "an array of everything": "8300019bffffffffffffffff00",
    "a map for a body": "830001a0",
    "null for a body": "830001f6",
    "a regular expression": "830001d8236528612b292b24",
    "a date": "830001c06161",
    "a decimal fraction": "830001c4821a7fffffff01",
    "shared": "d81c83000140",
    "a cycle": "830001d81c81d81d00",
    "self-described": "d9d9f783000140",
}


@pytest.mark.parametrize(("encoded", "envelope"), KNOWN.items(), ids=lambda value: str(value)[:20])
def test_known_bytes(encoded: str, envelope: Envelope) -> None:
    kind, number, data, text = envelope
    body = {Kind.ERROR: text, Kind.CANCEL: None}.get(kind, data)
    assert encode(kind, number, body).hex() == encoded
    decoded = decode_untrusted(bytes.fromhex(encoded))
    assert decoded == envelope
    assert isinstance(decoded.kind, Kind)


@pytest.mark.parametrize("encoded", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes(encoded: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^request: "):
        decode_untrusted(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    "opening", [b"\x81", b"\x9f", b"\xa1\x00", b"\xc6", b"\xd8\x1c", b"\x83\x00\x01\x81"]
)
def test_deep_nesting_is_not_decoded(opening: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="not an envelope"):
        decode_untrusted(opening * 1_000_000)


def test_lone_surrogates_are_replaced() -> None:
    assert decode_untrusted(encode(Kind.ERROR, 1, "a\ud800b")).text == "a?b"


@given(st.binary() | st.binary().map(b"\x83\x00\x01".__add__) | st.binary().map(b"\x83\x02".__add__))
def test_random_bytes_are_refused_or_encode_back_unchanged(message: bytes) -> None:
    try:
        envelope = decode_untrusted(message)
    except RemoteProtocolError:
        return
    body = {Kind.ERROR: envelope.text, Kind.CANCEL: None}.get(envelope.kind, envelope.data)
    assert encode(envelope.kind, envelope.id, body) == message


_ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=3), items, max_size=2),
    max_leaves=6,
)


@given(st.lists(_ITEMS, max_size=4) | st.tuples(st.integers(0, 4), st.integers(0, 2**33), _ITEMS).map(list))
def test_envelopes_are_the_only_cbor_that_is_accepted(items: list[Any]) -> None:
    right = (
        len(items) in (2, 3)
        and all(type(item) is int for item in items[:2])
        and items[0] in {2: [3], 3: [0, 1, 2]}[len(items)]
        and 0 <= items[1] <= LARGEST_ID
        and (len(items) == 2 or type(items[2]) is (str if items[0] == 2 else bytes))
    )
    message = cbor2.dumps(items)
    if right:
        assert decode_untrusted(message)[:2] == tuple(items[:2])
    else:
        with pytest.raises(RemoteProtocolError):
            decode_untrusted(message)
