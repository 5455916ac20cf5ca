"""Messages that we send: the list of names goes before them, and is no longer than necessary."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from core.support import (
    Pair,
    RawPeer,
    connection,
    error_of,
    extension_frame,
    frame,
)
from core.wires.hypercore9.wire_support import MIB
from peersockets_core import (
    DEFAULT_LIMITS,
    MessagesReceived,
    MessageTooLarge,
)
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_core.wires.hypercore9.frames import ExtensionRun
from peersockets_core.wires.hypercore9.messages import Open, Options

# Sending


def test_only_the_first_message_announces_the_names() -> None:
    remote = RawPeer(connection(names=["a", "b"]))
    sender = remote.ours.sender(None, "b")
    sender.send(b"1")
    sender.send(b"2")
    options, run = remote.heard()
    assert options == frames.Frame(0, 1, messages.encode(Options(["a", "b"])))
    assert run == ExtensionRun(1, [b"1", b"2"])
    remote.ours.sender(None, "a").send(b"3")
    assert remote.heard() == [ExtensionRun(0, [b"3"])]


def test_names_added_and_removed_between_messages_renumber_the_rest() -> None:
    remote = RawPeer(connection(names=["b"]))
    extensions = remote.ours.extensions
    sender = remote.ours.sender(None, "b")
    steps: list[tuple[Callable[[], None], list[str], int]] = [
        (lambda: None, ["b"], 0),
        (lambda: extensions.register("a"), ["a", "b"], 1),
        (lambda: extensions.register("c"), ["a", "b", "c"], 1),
        (lambda: extensions.unregister("a"), ["b", "c"], 0),
    ]
    for change, names, extension_id in steps:
        change()
        sender.send(b"x")
        options, run = remote.heard()
        assert options == frames.Frame(0, 1, messages.encode(Options(names)))
        assert run == ExtensionRun(extension_id, [b"x"])


def test_a_list_changed_by_another_sender_is_announced_once() -> None:
    remote = RawPeer(connection(names=["b", "c"]))
    first, second = (remote.ours.sender(None, name) for name in "bc")
    first.send(b"x")
    second.send(b"x")
    remote.heard()
    remote.ours.extensions.register("a")
    second.send(b"y")
    first.send(b"z")
    _, *runs = remote.heard()
    assert runs == [ExtensionRun(2, [b"y"]), ExtensionRun(1, [b"z"])]


@pytest.mark.parametrize(("names", "largest"), [(1, 8 * MIB - 1), (128, 8 * MIB - 1), (129, 8 * MIB - 2)])
def test_the_largest_message_and_one_byte_more(names: int, largest: int) -> None:
    remote = RawPeer(connection(names=[f"{number:05}" for number in range(names)]))
    sender = remote.ours.sender(None, f"{names - 1:05}")
    sender.check_size(largest)
    for _ in range(2):
        with pytest.raises(
            MessageTooLarge, match=f"{largest + 1} bytes is over the wire's limit of {largest}"
        ):
            sender.send(bytes(largest + 1))
        with pytest.raises(MessageTooLarge):
            sender.check_size(largest + 1)
        assert not remote.ours.has_output
    sender.send(bytes(largest))
    listener = RawPeer(connection(names=[f"{names - 1:05}"]), label="listener")
    said = b"".join(remote.ours.outbox.take())
    (received,) = listener.say(said)
    assert isinstance(received, MessagesReceived)
    assert list(map(len, received.payloads)) == [largest]
    with pytest.raises(MessageTooLarge):
        sender.send(bytes(largest + 1))
    assert not remote.ours.has_output


def test_messages_of_many_sizes() -> None:
    remote = RawPeer(connection(names=["a"]))
    sender = remote.ours.sender(None, "a")
    payloads = [bytes(size) for size in range(600)] + [bytes(10)]
    for payload in payloads:
        sender.send(payload)
    assert remote.heard()[1:] == [ExtensionRun(0, payloads)]


@pytest.mark.parametrize("size", [0, 64 * 1024], ids=["empty", "64 KiB"])
def test_names_of_any_length(size: int) -> None:
    pair = Pair(names=["é" * (size // 2)]).exchange()
    pair.left.sender(None, "é" * (size // 2)).send(b"x")
    pair.exchange()
    assert pair.events[pair.right][1:] == [MessagesReceived(None, "é" * (size // 2), [b"x"])]


def test_smaller_limits_are_kept() -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, frame_body=100, extension_names=2, replies=50)
    for plain, reason in (
        (extension_frame(0, bytes(100)), "over the limit of 100"),
        (frame(0, Options(["a", "b", "c"])), "more than 2 items"),
        (frame(1, Open(bytes(32))) * 2, "asks without reading"),
    ):
        assert reason in error_of(RawPeer(connection(limits=limits)).say(plain))
