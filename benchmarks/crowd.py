"""Many simple peers in one process, on plain sockets, for the measurements of our node and of the reference.

python -m benchmarks.crowd ROLE OPTIONS (see the package for how it is talked to)
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median

import attrs

from peersockets_core import Connection, DriveKey, DriveOpened, KeyPair, MessagesReceived, Sender
from peersockets_core.topics.naming import addresses

from .process import Report, allow_many_files, arguments, resident, say

KEY = DriveKey(bytes(32))  # the first of the drives that all processes know
HOST = "127.0.0.1"
READ_SIZE = 64 * 1024
AT_ONCE = 64
"""The number of a crowd's peers that connect at the same time."""


@attrs.define(eq=False)
class Member:
    """One peer of a crowd."""

    stream: socket.socket
    connection: Connection
    joined: bool = False
    messages: int = 0
    sender: Sender | None = None

    @classmethod
    def connect(cls, wire: str, port: int) -> Member:
        """Begin a connection."""
        return cls.start(wire, socket.create_connection((HOST, port)), initiator=True)

    @classmethod
    def start(cls, wire: str, connected: socket.socket, *, initiator: bool) -> Member:
        """Begin the handshake on a connected socket."""
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(
            wire=wire,  # type: ignore[arg-type]
            initiator=initiator,
            key_pair=KeyPair.generate(os.urandom),
            entropy=os.urandom,
            now=time.monotonic(),
        )
        _, name = addresses(KEY.discovery_key, "bench", "drive")[wire]  # type: ignore[index]
        connection.extensions.register(name)
        connection.open_drive(KEY)
        member = cls(connected, connection)
        member.flush()
        return member

    def read(self) -> bytes:
        """Read the bytes that have arrived."""
        data = self.stream.recv(READ_SIZE)
        if not data:
            raise SystemExit("benchmarks: the other side has closed a connection")
        return data

    def process(self, data: bytes) -> None:
        """Process these bytes."""
        for event in self.connection.receive_data(data, time.monotonic()):
            self.joined |= isinstance(event, DriveOpened)
            if isinstance(event, MessagesReceived):
                self.messages += len(event.payloads)
        self.flush()

    def send(self, message: bytes) -> None:
        """Send a message to the topic."""
        if self.sender is None:
            wire = self.connection.wire
            assert wire is not None
            self.sender = self.connection.sender(*addresses(KEY.discovery_key, "bench", "drive")[wire])
        self.sender.send(message)
        self.flush()

    def flush(self) -> None:
        """Send the queued bytes."""
        if self.connection.has_output:
            self.stream.sendall(self.connection.data_to_send(time.monotonic()))


class Crowd:
    """Members, and the loop that serves them."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.selector = selectors.DefaultSelector()

    def add(self, member: Member) -> None:
        """Add a member."""
        self.members.append(member)
        self.selector.register(member.stream, selectors.EVENT_READ, member)

    def readable(self, timeout: float | None = None) -> Iterator[Member]:
        """Return the members for which bytes have arrived."""
        for key, _ in self.selector.select(timeout):
            yield key.data

    def serve_until(self, done: Callable[[], bool]) -> None:
        """Process everything that arrives until `done`."""
        while not done():
            for member in self.readable():
                member.process(member.read())

    def answer(self, results: Callable[[], Report]) -> None:
        """Serve the members, and answer questions, until the input ends."""
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select(timeout=1):
                if key.data is not None:
                    key.data.process(key.data.read())
                    continue
                question = os.read(0, 100)
                if not question:
                    os._exit(0)
                say(results() if question == b"result\n" else resident())
            self._keep_alive()

    def _keep_alive(self) -> None:
        now = time.monotonic()
        for member in self.members:
            member.connection.handle_deadline(now)
            member.flush()


def half_open(options: Report) -> None:
    """Begin handshakes, and never finish them."""
    members = [Member.connect(options["wire"], options["port"]) for _ in range(options["count"])]
    time.sleep(0.5)  # for the other side to take it all in
    say({})
    while question := os.read(0, 100):
        if question != b"result\n":
            say(resident())
            continue
        time.sleep(options["wait"])
        say({"held": sum(map(_is_open, members))})


def _is_open(member: Member) -> bool:
    member.stream.setblocking(False)
    try:
        while data := member.stream.recv(READ_SIZE):
            del data
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def members(options: Report) -> None:
    """Join, and measure how long it takes until all members have received the messages of some."""
    crowd = Crowd()
    start = time.perf_counter()
    for first in range(0, options["count"], AT_ONCE):
        for _ in range(first, min(first + AT_ONCE, options["count"])):
            crowd.add(Member.connect(options["wire"], options["port"]))
        newest = crowd.members[first:]
        crowd.serve_until(lambda newest=newest: all(member.joined for member in newest))  # type: ignore[misc]
    say({"seconds": time.perf_counter() - start})
    rounds = {"broadcast": broadcast, "chat": chat}[options["rounds"]]

    def results() -> Report:
        times = [rounds(crowd, bytes(options["size"])) for _ in range(options["repeat"])]
        return {"round": median(times[1:])}  # in the first, everybody learns the names of extensions

    crowd.answer(results)


def broadcast(crowd: Crowd, message: bytes) -> float:
    """Let one member send; returns the seconds until all others have received something."""
    missing = set(crowd.members)
    came: list[tuple[Member, bytes]] = []
    start = time.perf_counter()
    crowd.members[0].send(message)
    while missing:
        for member in crowd.readable():
            came.append((member, member.read()))
            missing.discard(member)
    seconds = time.perf_counter() - start
    for member, data in came:
        member.process(data)
    return seconds


def chat(crowd: Crowd, message: bytes) -> float:
    """Let all members send; returns the seconds until each has received the messages of all others."""
    wanted = len(crowd.members) ** 2 + sum(member.messages for member in crowd.members)
    start = time.perf_counter()
    for member in crowd.members:
        member.send(message)
    crowd.serve_until(lambda: sum(member.messages for member in crowd.members) >= wanted)
    return time.perf_counter() - start


def sink(options: Report) -> None:
    """Let a peer connect and join, and then read no more."""
    listener = socket.create_server((HOST, 0))
    say({"port": listener.getsockname()[1]})
    if os.read(0, 100):
        say(resident())
    connected, _ = listener.accept()
    member = Member.start(options["wire"], connected, initiator=False)
    while not member.joined:
        member.process(member.read())
    while os.read(0, 100):
        say(resident())


ROLES = {"half-open": half_open, "members": members, "sink": sink}

if __name__ == "__main__":
    allow_many_files()
    role, options = arguments()
    ROLES[role](options)
