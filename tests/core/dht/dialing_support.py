"""A node that dials, for tests of the core: each test answers the requests that the node sends."""

from __future__ import annotations

from typing import Any

import attrs

from core.dht.support import entropy, requests_of
from peersockets_core import KeyPair
from peersockets_core.address import SocketAddress
from peersockets_core.dht.dialing import Dial
from peersockets_core.dht.events import DialFailed, Dialled
from peersockets_core.dht.hyperdht import HyperDht
from peersockets_core.dht.messages import (
    HandshakePayload,
    HolepunchInfo,
    HyperDhtCommand,
    Peer,
    RelayedHandshake,
    RelayMode,
    UdxInfo,
    decode_handshake_untrusted,
)
from peersockets_core.dht.noise_ik import HandshakeNoise
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.messages import (
    RpcRequest,
    RpcResponse,
    decode_untrusted,
    encode_response,
)
from peersockets_core.holepunch import Firewall

US, SERVER = ("10.0.0.1", 1), ("1.0.0.9", 9)


SERVER_KEYS, OUR_KEYS = KeyPair.from_seed(b"s" * 32), KeyPair.from_seed(b"c" * 32)


NODES: list[SocketAddress] = [(f"10.0.1.{number}", 5) for number in range(1, 5)]


PAYLOAD = HandshakePayload(Firewall.UNKNOWN, udx=UdxInfo(55))


PUNCHABLE = HolepunchInfo(0, ((NODES[0], SERVER),))


@attrs.define(eq=False)
class Played:
    """A node that dials, and the nodes that it asks."""

    options: dict[str, Any] = attrs.field(factory=dict)
    machine: HyperDht = attrs.field(init=False)
    events: list[Any] = attrs.field(factory=list)
    asked: list[tuple[SocketAddress, RpcRequest]] = attrs.field(factory=list)
    now: float = 0.0
    handshake_hash: bytes = b""
    """The hash of the last handshake that the server has answered."""

    def __attrs_post_init__(self) -> None:
        self.machine = HyperDht(key_pair=OUR_KEYS, entropy=entropy(3), now=0.0, **self.options)
        self.machine.handle_deadline(0.0)
        for address in NODES:
            self.machine.node.upkeep.heard_from(address, node_id(address), 0.0)

    def dial(self, **options: Any) -> Dial:
        dial = self.machine.dial(SERVER_KEYS.ed25519_public_key, 44, self.now, **options)
        self.look()
        return dial

    def look(self) -> None:
        self.asked += requests_of(self.machine, self.now)

    def take(
        self, command: int, to: SocketAddress | None = None, *, internal: bool = False, most: int = 99
    ) -> list[Any]:
        """Take the first requests of a command that were sent, or only those to one node."""
        taken = [
            asked
            for asked in self.asked
            if (asked[1].command, asked[1].internal) == (command, internal) and to in (None, asked[0])
        ][:most]
        self.asked = [asked for asked in self.asked if asked not in taken]
        return taken

    def answer(
        self,
        to: SocketAddress,
        request: RpcRequest,
        value: bytes | None,
        ours: SocketAddress = US,
        socket: int = 0,
    ) -> None:
        response = RpcResponse(request.tid, ours, node_id(to), value=value)
        datagram = encode_response(response)
        self.events += self.machine.receive_datagrams(datagram, 1500, to, self.now, socket=socket)
        self.look()

    def take_punching(self, command: int) -> list[tuple[SocketAddress, Any, int]]:
        """Take the requests that were sent from sockets for hole punching."""
        sent = self.machine.punch_datagrams_to_send(self.now)
        requests = [
            (datagram.to, decode_untrusted(datagram.data), datagram.socket)
            for datagram in sent
            if len(datagram.data) > 1
        ]
        return [each for each in requests if isinstance(each[1], RpcRequest) and each[1].command == command]

    def find(self, *relays: SocketAddress) -> None:
        """Let all nodes say where the key is; the given ones know it."""
        record = Peer(SERVER_KEYS.ed25519_public_key).encode()
        for to, request in self.take(HyperDhtCommand.FIND_PEER):
            self.answer(to, request, record if to in relays else None)

    def reply(
        self,
        payload: HandshakePayload = PAYLOAD,
        *,
        through: SocketAddress | None = None,
        server: SocketAddress | None = SERVER,
        ours: SocketAddress = US,
    ) -> None:
        """Answer one handshake as the server behind a relay does."""
        to, request = self.take(HyperDhtCommand.PEER_HANDSHAKE, through, most=1)[0]
        noise = HandshakeNoise(SERVER_KEYS, entropy(9))
        noise.read_untrusted(decode_handshake_untrusted(request.value).noise)
        reply = RelayedHandshake(RelayMode.REPLY, noise.write(payload), server)
        self.handshake_hash = noise.keys().handshake_hash
        self.answer(to, request, reply.encode(), ours)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (deadline := self.machine.next_deadline()) <= until:
            self.now = max(self.now, deadline)
            self.events += self.machine.handle_deadline(self.now)
            self.look()
        self.now = until

    @property
    def fates(self) -> list[Any]:
        return [event for event in self.events if isinstance(event, Dialled | DialFailed)]

    @property
    def fate(self) -> Any:
        (fate,) = self.fates
        return fate
