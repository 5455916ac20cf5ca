from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from core.support import (
    KEY,
    NOW,
    OTHER_KEY,
    Pair,
    RawPeer,
    connection,
    entropy,
    error_of,
    extension_frame,
    frame,
    handshaken,
    key_pair,
)
from fuzz.support import retained
from peersockets_core import (
    WIRES,
    Connection,
    ConnectionClosed,
    DriveClosed,
    DriveOpened,
    HandshakeCompleted,
    LocalProtocolError,
    RemoteProtocolError,
    WireName,
)
from peersockets_core.wires.hypercore9 import frames
from peersockets_core.wires.hypercore9.messages import Options

# Beginning


@pytest.mark.parametrize("wire", ["", "hypercore10", "HYPERCORE9"])
def test_an_unknown_wire_is_refused(wire: WireName) -> None:
    with pytest.raises(ValueError, match="wire must be one of hypercore9"):
        Connection(wire=wire, initiator=False, key_pair=key_pair("x"), entropy=entropy("x"), now=NOW)


def test_an_initiator_speaks_first_and_a_responder_does_not() -> None:
    initiator, responder = connection(initiator=True), connection()
    for ours, sizes in ((initiator, [59, 0]), (responder, [0, 0])):
        for size in sizes:
            assert ours.has_output == bool(size)
            assert len(ours.data_to_send()) == size


def wired(wire: WireName | None, label: str = "x", *, initiator: bool = False) -> Connection:
    return Connection(
        wire=wire, initiator=initiator, key_pair=key_pair(label), entropy=entropy(label), now=NOW
    )


@pytest.mark.parametrize(
    ("wire", "text"), [(None, "not one that is not known yet"), ("hypercore9", "not hypercore9")]
)
def test_a_mux_is_for_hypercore11_only(wire: WireName | None, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        _ = wired(wire).mux


def test_a_pair_made_before_the_handshake_misses_nothing() -> None:
    class Handler:
        def opened_untrusted(self, handshake: bytes) -> None:
            raise AssertionError

        def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
            raise AssertionError

        def closed(self) -> None:
            asked.append("refused")

    def refuse(*key: object) -> bool:
        asked.append(key)
        return False

    asked: list[object] = []
    remote, ours = wired("hypercore11"), wired("hypercore11", "y", initiator=True)
    remote.mux.pair("p", None, refuse)
    ours.mux.open("p", b"id", b"", Handler())
    while ours.has_output or remote.has_output:
        remote.receive_data(bytes(ours.data_to_send()), NOW)
        ours.receive_data(bytes(remote.data_to_send()), NOW)
    assert asked == [("p", b"id"), "refused"]


def test_connections_have_extensions_of_their_own_unless_given() -> None:
    first, second = (
        Connection(wire="hypercore9", initiator=True, key_pair=key_pair("x"), entropy=entropy("x"), now=NOW)
        for _ in range(2)
    )
    assert first.extensions is not second.extensions


def test_connecting_to_oneself_is_refused() -> None:
    pair = Pair()
    pair.right = connection(label="left")
    pair.events[pair.right], pair.sent[pair.right] = [], b""
    pair.exchange()
    for side in (pair.left, pair.right):
        if side.closed:
            assert error_of(pair.events[side]) == "connected to ourselves"
            assert len(pair.events[side]) == 1
    assert pair.left.closed


# The faults of callers and those of remotes


def test_nothing_is_emitted_after_the_end() -> None:
    remote = handshaken()
    ours = remote.ours
    assert error_of(remote.say(b"\xff" * 9))
    assert ours.receive_data(b"more", NOW) == []
    assert ours.receive_eof(NOW) == []
    assert ours.handle_deadline(NOW + 1000) == []
    assert ours.close() == []
    assert ours.fail(RemoteProtocolError("again")) == []
    assert ours.next_deadline() == math.inf
    assert not ours.has_output
    assert ours.data_to_send() == b""
    assert str(ours.error) == "varint of more than 8 bytes"


def test_a_clean_end() -> None:
    remote = handshaken()
    assert remote.ours.receive_eof(NOW) == [ConnectionClosed(None)]
    assert remote.ours.error is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\x05\x0f", "within a message"), (b"\x80", "within a message")],
    ids=["half a frame", "half a length"],
)
def test_an_end_within_a_message(data: bytes, reason: str) -> None:
    remote = handshaken()
    assert remote.say(data) == []
    assert reason in error_of(remote.ours.receive_eof(NOW))


@pytest.mark.parametrize("initiator", [False, True])
@pytest.mark.parametrize("data", [b"", b"\x3a", b"\x3a" + bytes(20)])
def test_an_end_before_the_handshake_is_finished(initiator: bool, data: bytes) -> None:
    ours = connection(initiator=initiator)
    assert ours.receive_data(data, NOW) == []
    assert "before the handshake" in error_of(ours.receive_eof(NOW))


def test_queued_output_is_still_sent_after_our_own_close() -> None:
    remote = handshaken()
    remote.ours.sender(None, "chat").send(b"last words")
    assert remote.ours.close() == [ConnectionClosed(None)]
    assert remote.ours.has_output
    assert remote.heard()[-1] == frames.ExtensionRun(0, [b"last words"])


def test_nothing_is_sent_after_a_fault_of_the_remote() -> None:
    remote = handshaken()
    remote.ours.sender(None, "chat").send(b"last words")
    error = RemoteProtocolError("misbehaved above")
    assert remote.ours.fail(error) == [ConnectionClosed(error)]
    assert not remote.ours.has_output
    assert remote.ours.data_to_send() == b""


COMMANDS: dict[str, Callable[[Connection], object]] = {
    "open_drive": lambda ours: ours.open_drive(OTHER_KEY),
    "close_drive": lambda ours: ours.close_drive(KEY.discovery_key),
    "sender": lambda ours: ours.sender(None, "chat"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_after_the_end_raise_local_errors(command: Callable[[Connection], object]) -> None:
    remote = handshaken()
    remote.ours.open_drive(KEY)
    remote.ours.close()
    with pytest.raises(LocalProtocolError, match="the connection is closed"):
        command(remote.ours)


@pytest.mark.parametrize("finished", [False, True], ids=["before the handshake", "after it"])
def test_opening_twice_and_closing_a_drive_that_is_not_open_raise_local_errors(finished: bool) -> None:
    ours = handshaken().ours if finished else connection(initiator=True)
    ours.open_drive(KEY)
    with pytest.raises(LocalProtocolError, match="already open"):
        ours.open_drive(KEY)
    ours.close_drive(KEY.discovery_key)
    with pytest.raises(LocalProtocolError, match="no drive with discovery key"):
        ours.close_drive(KEY.discovery_key)
    ours.open_drive(KEY)


def test_messages_wait_for_the_handshake() -> None:
    with pytest.raises(LocalProtocolError, match="handshake is not finished"):
        connection(names=["chat"]).sender(None, "chat")


def test_a_drive_opened_before_the_handshake_is_offered_right_after_it() -> None:
    for initiator in (False, True):
        ours = connection(initiator=initiator)
        ours.open_drive(OTHER_KEY)
        ours.open_drive(KEY)
        ours.close_drive(OTHER_KEY.discovery_key)
        remote = RawPeer(ours)
        assert remote.heard_messages() == [(1, remote.reflected())]
        assert remote.send(1, remote.offer()) == [DriveOpened(KEY.discovery_key)]


def test_an_offer_in_the_same_read_as_the_end_of_the_handshake_is_not_refused() -> None:
    pair = Pair()
    pair.left.open_drive(KEY)
    pair.right.open_drive(KEY)
    pair.right.receive_data(bytes(pair.left.data_to_send()), NOW)
    pair.left.receive_data(bytes(pair.right.data_to_send()), NOW)
    handshake, opened = pair.right.receive_data(bytes(pair.left.data_to_send()), NOW)
    assert isinstance(handshake, HandshakeCompleted)
    assert opened == DriveOpened(KEY.discovery_key)


# Letting go of memory


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("end", ["eof", "close", "fail"])
def test_a_closed_connection_lets_go_of_half_a_message(wire: WireName, end: str) -> None:
    sides = [
        Connection(wire=wire, initiator=role, key_pair=key_pair(label), entropy=entropy(label), now=NOW)
        for role, label in ((True, "left"), (False, "right"))
    ]
    left, right = sides
    for side in sides:
        side.extensions.register("chat")
        side.open_drive(KEY)
    while left.has_output or right.has_output:
        right.receive_data(bytes(left.data_to_send(NOW)), NOW)
        left.receive_data(bytes(right.data_to_send(NOW)), NOW)
    left.sender(KEY.discovery_key, "chat").send(bytes(1_000_000))
    assert right.receive_data(bytes(left.data_to_send(NOW))[:-1], NOW) == []
    assert not right.wire_machine.between_messages
    before = retained(right)
    if end == "eof":
        assert "within a message" in error_of(right.receive_eof(NOW))
    elif end == "close":
        right.close()
    else:
        right.fail(RemoteProtocolError("over the limit"))
    assert retained(right) < before - 900_000


def test_the_error_of_a_connection_does_not_keep_its_input_alive() -> None:
    remote = RawPeer(connection())
    received = frame(0, Options(["x" * 100_000])) + frames.encode(0, 1, b"\x0a\x01\xff")
    [closed] = remote.say(received)
    assert isinstance(closed, ConnectionClosed)
    assert str(closed.error) == "protobuf: a string is not UTF-8"
    assert retained(closed) < 10_000


# Both wires


def joined(wire: WireName) -> tuple[Connection, Connection]:
    left, right = (
        Connection(
            wire=wire if initiator else None,
            initiator=initiator,
            key_pair=key_pair(label),
            entropy=entropy(label),
            now=NOW,
        )
        for label, initiator in (("a", True), ("b", False))
    )
    while any(carry(*way) for way in ((left, right), (right, left))):
        pass
    return left, right


def carry(source: Connection, sink: Connection) -> bool:
    data = bytes(source.data_to_send())
    sink.receive_data(data, NOW)
    return bool(data)


def toggled_across(wire: WireName, seed: int) -> None:
    """Open and close a drive on both sides while bytes are in flight. Then check that both sides come to
    rest.
    """
    generator, sides = random.Random(seed), joined(wire)
    wanted, shared = [False, False], [False, False]
    under_way: tuple[list[bytes], list[bytes]] = ([], [])

    def collect() -> None:
        for index in (0, 1):
            if data := bytes(sides[index].data_to_send()):
                under_way[1 - index].append(data)

    def deliver(index: int) -> None:
        if under_way[index]:
            for event in sides[index].receive_data(under_way[index].pop(0), NOW):
                assert isinstance(event, DriveOpened | DriveClosed), event
                assert shared[index] != isinstance(event, DriveOpened)
                shared[index] = not shared[index]
            collect()

    def toggle(index: int) -> None:
        if wanted[index]:
            sides[index].close_drive(KEY.discovery_key)
            shared[index] = False
        else:
            sides[index].open_drive(KEY)
        wanted[index] = not wanted[index]
        collect()

    for _ in range(generator.randrange(2, 12)):
        (toggle if generator.random() < 0.4 else deliver)(generator.randrange(2))
    for _ in range(100):
        deliver(0)
        deliver(1)
    assert not any(under_way), "the two sides never stop talking"
    assert shared == [all(wanted)] * 2


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
def test_drives_opened_and_closed_across_each_other_come_to_rest(wire: WireName) -> None:
    for seed in range(150):
        toggled_across(wire, seed)


def test_names_and_messages_in_one_read_with_the_handshake() -> None:
    ours = connection(names=["chat"])
    plain = frame(0, Options(["chat"])) + extension_frame(0, b"early")
    handshake, received = RawPeer(ours, behind_handshake=plain).events
    assert isinstance(handshake, HandshakeCompleted)
    assert "early" in str(received)


def test_a_repr_shows_the_state_and_no_secret() -> None:
    listening = Connection(initiator=False, key_pair=key_pair("A"), entropy=entropy("A"), now=NOW)
    assert repr(listening) == (
        "<Connection on a wire to be detected, responder, waiting for the remote's first byte>"
    )
    pair = Pair().exchange()
    key = pair.right.key_pair.x25519_public_key.hex()
    assert repr(pair.left) == f"<Connection hypercore9, initiator, admitted to {key}>"
    assert pair.left.key_pair.seed.hex() not in repr(pair.left)
