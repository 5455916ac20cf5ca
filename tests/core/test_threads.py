"""The rule for threads: one lock for a machine and all its connections."""

from __future__ import annotations

import queue
import threading
from typing import Any, Final

from core.support import KEY, NOW, entropy, key_pair
from peersockets_core import Connection, PeerJoined, Peersockets, TopicHandle

MESSAGES: Final = 3000
SENDERS: Final = 2


class LockedNode:
    """A machine with one connection, used by several threads. Its `Host` only leaves notes."""

    def __init__(self, name: str, *, initiator: bool) -> None:
        self.lock = threading.Lock()
        self.notes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.bytes_in: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.received: list[bytes] = []
        self.machine: Peersockets[Any, Any] = Peersockets(self)
        self.connection: Connection[Any] = self.machine.make_connection(
            wire="hypercore11",
            initiator=initiator,
            key_pair=key_pair(name),
            entropy=entropy(name),
            now=NOW,
        )
        drive = self.machine.open_drive(KEY)
        self.watch = self.machine.watch(drive)
        self.chat: TopicHandle[Any, Any] = self.machine.join(drive, "chat")

    def news(self, handle: object) -> None:
        self.notes.put(None)

    rerouted = readable = wake = retire = drop = lambda self, *_: self.notes.put(None)

    def move(self, other: LockedNode, done: threading.Event) -> None:
        """Carry bytes in and out until the test ends."""
        while not done.is_set():
            with self.lock:
                output = bytes(self.connection.data_to_send(NOW))
            if output:
                other.bytes_in.put(output)
            try:
                data = self.bytes_in.get(timeout=0.001)
            except queue.Empty:
                continue
            with self.lock:
                self.machine.receive_events(self.connection, self.connection.receive_data(data, NOW), NOW)
                self.received += [message.message for message in self.chat.take_all()]

    def joined(self) -> int:
        """Wait for the other node, and return its peer id."""
        while True:
            self.notes.get(timeout=60)
            with self.lock:
                if len(self.watch):
                    event = self.watch.take()
                    assert isinstance(event, PeerJoined)
                    return event.peer_id

    def send(self, peer_id: int, label: bytes) -> None:
        for number in range(MESSAGES):
            sent = None
            while sent is None:
                with self.lock:
                    sent = self.chat.send(peer_id, b"%s %d" % (label, number))


def test_four_threads_and_two_machines() -> None:
    nodes = LockedNode("left", initiator=True), LockedNode("right", initiator=False)
    done = threading.Event()
    movers = [
        threading.Thread(target=node.move, args=(other, done)) for node, other in (nodes, reversed(nodes))
    ]
    for mover in movers:
        mover.start()
    try:
        peer_ids = [node.joined() for node in nodes]
        senders = [
            threading.Thread(target=node.send, args=(peer_id, b"%d" % number))
            for node, peer_id in zip(nodes, peer_ids, strict=True)
            for number in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        while any(len(node.received) < SENDERS * MESSAGES for node in nodes):
            assert all(mover.is_alive() for mover in movers)
    finally:
        done.set()
        for mover in movers:
            mover.join()
    for node in nodes:
        for label in (b"0", b"1"):
            numbers = [int(message[2:]) for message in node.received if message[:1] == label]
            assert numbers == list(range(MESSAGES)), "each sender's messages arrive in their order"
        assert node.chat.statistics().sent_messages == SENDERS * MESSAGES
