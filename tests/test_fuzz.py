"""Every fuzz harness over its saved corpus, without a fuzzer, and a check that harnesses notice faults."""

from __future__ import annotations

import ast
import importlib
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from nacl import bindings

from fuzz import corpus
from peersockets_core import Connection
from peersockets_core.crypto import noise
from peersockets_core.crypto.noise import AEAD_TAG_SIZE, SymmetricState
from peersockets_core.dht import messages
from peersockets_core.dht.rpc import table
from peersockets_core.dht.rpc.node import DhtNode
from peersockets_core.dht.rpc.requests import Requests
from peersockets_core.dht.store import BoundedStore
from peersockets_core.holepunch import ServerPunch, puncher
from peersockets_core.outbox import Outbox
from peersockets_core.topics.membership import Memberships
from peersockets_core.udx import packet, reception
from peersockets_core.udx.early import EarlyPackets
from peersockets_core.udx.receive_half import ReceiveHalf
from peersockets_core.wires.hypercore9 import varint
from peersockets_core.wires.hypercore9.channels import Channels
from peersockets_core.wires.hypercore9.wire import Hypercore9
from peersockets_core.wires.hypercore11 import alpha, encoding
from peersockets_core.wires.hypercore11.protomux import Mux
from peersockets_core.work import UNBOUNDED
from peersockets_trio.browser import access, frames, inject


def commands_module() -> object:
    """The module of the fields of its commands."""
    return importlib.import_module("peersockets_trio.cli.pipe_commands")


def pipe_module() -> object:
    # The package has the command of the same name where the module would be.
    return importlib.import_module("peersockets_trio.cli.pipe")


def harness(name: str) -> Callable[[bytes], None]:
    run: Callable[[bytes], None] = importlib.import_module(f"fuzz.harnesses.{name}").run
    return run


LARGE = ("dht_node", "machine", "siege")
"""Harnesses whose corpus takes long."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in corpus.HARNESSES],
)
def test_the_saved_corpus_finds_no_fault(name: str) -> None:
    run, inputs = harness(name), corpus.saved(name)
    assert len(inputs) > 10
    for data in inputs:
        run(data)


@pytest.mark.parametrize("name", corpus.HARNESSES)
def test_other_inputs_find_no_fault(name: str) -> None:
    run, generator = harness(name), random.Random(name)
    for data in generator.choices(corpus.saved(name), k=10):
        spoilt = bytearray(data + generator.randbytes(20))
        for _ in range(3):
            spoilt[generator.randrange(len(spoilt))] = generator.randrange(256)
        run(bytes(spoilt))


@pytest.mark.parametrize("name", corpus.HARNESSES)
def test_the_first_line_names_the_invariant(name: str) -> None:
    source = (corpus.HERE / "harnesses" / f"{name}.py").read_text("utf-8")
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring is not None
    assert docstring.startswith("Invariant: ")
    assert "atheris" not in source


def test_a_corpus_is_saved_the_same_in_any_order(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "HERE", tmp_path)
    (tmp_path / "corpus").mkdir()
    corpus.save("one", [b"a", b"b", b"a"])
    corpus.save("two", [b"b", b"a"])
    assert sorted(corpus.saved("one")) == [b"a", b"b"]
    assert (tmp_path / "corpus" / "one.zip").read_bytes() == (tmp_path / "corpus" / "two.zip").read_bytes()


# A harness that cannot notice a fault proves nothing. Each of these faults must be noticed on the corpus.


def noticed(name: str) -> bool:
    """Return whether any input of a harness's corpus shows a fault."""
    run = harness(name)
    for data in corpus.saved(name):
        try:
            run(data)
        except Exception:
            return True
    return False


def _cut(number: int) -> bytes:
    return bytes((number & 0x7F,))


def _silent(*_: object) -> None:
    """Does nothing."""


def _believing(self: SymmetricState, ciphertext: bytes) -> bytes:
    """Decrypts without a check of the tag."""
    if self._key is None or len(ciphertext) < AEAD_TAG_SIZE:
        return _DECRYPT(self, ciphertext)
    text = ciphertext[:-AEAD_TAG_SIZE]
    stream = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
        bytes(len(text)), b"", self._next_nonce(), self._key
    )
    self.mix_hash(ciphertext)
    return bytes(byte ^ mask for byte, mask in zip(text, stream, strict=False))


def _slow(self: Hypercore9, *arguments: Any) -> None:
    """Walks through everything again for each item."""
    for byte in bytes(4000):
        _work(byte)
    _RECEIVE_ITEM(self, *arguments)


def _work(byte: int) -> int:
    return byte


def _endless(self: Connection, _: int | None) -> None:
    """Gives a slice all the work there is."""
    self._work.left = UNBOUNDED


def _thrice(self: DhtNode, *arguments: Any, **named: Any) -> None:
    """Answers three times."""
    for _ in range(3):
        _ANSWER(self, *arguments, **named)


def _grow(self: BoundedStore[Any, Any], key: Any) -> None:
    """Drops an entry without a report."""
    self.remove(key)


_ANSWER = DhtNode.answer
_DECRYPT = SymmetricState.decrypt_and_hash_untrusted
_RECEIVE_ITEM = Hypercore9.receive_item_untrusted


def _hoard(
    self: EarlyPackets, local_id: int, packets: memoryview, size: int, source: Any, now: float
) -> None:
    """Keeps everything."""
    self._kept.setdefault(local_id, (now, []))[1].append((bytes(packets), size, source))


FAULTS: dict[str, tuple[str, object, str, object]] = {
    "no cookie is needed": ("page", access, "has_cookie", lambda *_: True),
    "paths are taken as they are": ("page", access, "_split_untrusted", lambda path: (path,)),
    "a batch takes one byte more": ("page", frames, "RECORD_HEAD", struct.Struct(">IIIx")),
    "the script is left out": ("page", inject, "TAG", b""),
    "numbers lose digits": ("codecs", varint, "encode", _cut),
    "a length that has no entry": ("codecs", encoding, "_SIZES", {0xFD: 2, 0xFE: 4}),
    "closes are not reported": ("machine", Channels, "receive_close_untrusted", _silent),
    "answers have no bound": ("hypercore9", Outbox, "append_reply_untrusted", Outbox.append),
    "work without a bound": ("hypercore9", Hypercore9, "receive_item_untrusted", _slow),
    "slices have no end": ("siege", Connection, "_begin_slice", _endless),
    "names have no bound": ("hypercore11", alpha, "decode_string_untrusted", lambda *_: ("x" * 100_000, 0)),
    "a close is an index": ("hypercore11", Mux, "_disconnect", lambda self, _: self.local.by_number.pop(-1)),
    "closes are not sent": ("protomux", Mux, "close", _silent),
    "rejects are not sent": ("protomux", Mux, "_refuse", _silent),
    "a spoilt message is believed": (
        "hypercore9_handshake",
        SymmetricState,
        "decrypt_and_hash_untrusted",
        _believing,
    ),
    "a bad point is an error of another kind": ("hypercore11_handshake", noise, "CryptoError", KeyError),
    "leaves are not reported": ("machine", Memberships, "leave", _silent),
    "routes are remembered for ever": ("machine", Memberships, "forget_routes", _silent),
    "a number is where it was": ("udx_packets", packet, "unwrap", lambda number, near: number),
    "ranges have no bound": ("udx_packets", packet, "MAX_RANGES", 1000),
    "headers all have one number": (
        "udx_packets",
        packet,
        "headers",
        lambda count, *rest: packet.header(packet.DATA_WORD, *rest) * count,
    ),
    "what was not sent is acknowledged": (
        "udx",
        reception,
        "_latest",
        lambda acks, una, _: packet.unwrap(acks[-1], una),
    ),
    "a closed window takes everything": ("udx", ReceiveHalf, "takes", lambda *_: True),
    "packets for nobody are kept without a bound": ("udx", EarlyPackets, "keep", _hoard),
    "relays are as many as there are": ("dht_messages", messages, "MOST_PEERS", 1000),
    "addresses end too early": ("dht_messages", messages, "encode_address", lambda address: bytes(5)),
    "a datagram has three answers": ("dht_node", DhtNode, "answer", _thrice),
    "what has expired leaves its topic as it was": ("dht_node", BoundedStore, "_drop", _grow),
    "requests are as many as there are": ("dht_node", Requests, "full", False),
    "rows have no bound": ("dht_node", table, "K", 1000),
    "sockets stay open": ("holepunch", puncher.Puncher, "_release", _silent),
    "addresses that are not proved get every probe": ("holepunch", puncher, "_UNVERIFIED", 1),
    "a punch fails in silence": ("holepunch", ServerPunch, "_fail", _silent),
    "numbers of any size": ("pipe", commands_module(), "finite", float),
    "a parser that raises something else": ("pipe", pipe_module(), "payload", lambda _: 1 / 0),
}


@pytest.mark.parametrize(("name", "owner", "attribute", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_noticed(
    name: str, owner: object, attribute: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, attribute, fault)
    assert noticed(name)
