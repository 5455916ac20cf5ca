"""Asks a node as fast as it answers, from many addresses of this host, whose ids first fill its table."""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Final

from peersockets_core.address import SocketAddress
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.messages import (
    RpcCommand,
    RpcRequest,
    RpcResponse,
    decode_untrusted,
    encode_request,
    encode_response,
)

FILLING: Final = 600
"""Nodes that introduce themselves: most find their row full."""

ASKING: Final = 32
"""Addresses that ask. Each keeps `AT_ONCE` requests in flight."""

AT_ONCE: Final = 4
"""Requests of each that are under way."""

LATE: Final = 0.5


class Load:
    """Sockets on separate addresses, and the node that they talk to."""

    def __init__(self, port: int) -> None:
        self._node: SocketAddress = ("127.0.0.1", port)
        self._sockets = [self._open(number) for number in range(FILLING)]
        self._by_fd = {each.fileno(): each for each in self._sockets}
        self._poll = select.epoll()
        for each in self._sockets:
            self._poll.register(each, select.EPOLLIN)

    def fill(self) -> None:
        """Fill the table of the node, and answer its pings."""
        for number, each in enumerate(self._sockets):
            id = node_id(each.getsockname())
            ping = RpcRequest(number, self._node, RpcCommand.PING, internal=True, id=id)
            each.sendto(encode_request(ping), self._node)
            self._serve(0)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            self._serve(0.1)

    def ask(self, command: int, *, internal: bool, seconds: float) -> int:
        """Ask for random targets for so many seconds; returns how many requests were answered."""
        answered = 0
        end = time.monotonic() + seconds
        last = dict.fromkeys(range(ASKING), 0.0)
        while (now := time.monotonic()) < end:
            for number in range(ASKING):
                if now - last[number] > LATE:  # at first, and after a loss
                    last[number] = now
                    for _ in range(AT_ONCE):
                        self._ask(self._sockets[number], command, internal)
            for source, got in self._serve(0.01):
                number = self._sockets.index(source)
                if number >= ASKING:  # the node sends nothing after that
                    continue
                answered += got
                last[number] = now
                for _ in range(got):
                    self._ask(source, command, internal)
        return answered

    def close(self) -> None:
        """Close the sockets."""
        self._poll.close()
        for each in self._sockets:
            each.close()

    def _open(self, number: int) -> socket.socket:
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        each.bind((f"127.1.{number >> 8}.{1 + (number & 255) % 254}", 0))
        each.setblocking(False)
        return each

    def _ask(self, source: socket.socket, command: int, internal: bool) -> None:
        random = os.urandom(34)
        tid = int.from_bytes(random[32:])
        request = RpcRequest(tid, self._node, command, internal=internal, target=random[:32])
        source.sendto(encode_request(request), self._node)

    def _serve(self, timeout: float) -> list[tuple[socket.socket, int]]:
        """Answer pings, and return for each socket how many answers have come."""
        answers = []
        for fd, _ in self._poll.poll(timeout):
            each, count = self._by_fd[fd], 0
            while True:
                try:
                    data, source = each.recvfrom(2048)
                except BlockingIOError:
                    break
                if data[0] & 0x10:
                    count += 1
                    continue
                request = decode_untrusted(data)
                pong = RpcResponse(request.tid, source, node_id(each.getsockname()))
                each.sendto(encode_response(pong), source)
            answers.append((each, count))
        return answers
