"""Invariant: whatever arrives, a DHT node raises nothing, keeps its bounds, and sends no needless answers.

The node listens, looks for a topic, announces itself there and dials a key. The script plays all others:
nodes that answer its requests correctly, falsely or with garbage; remotes that look up and store records,
with tokens that are genuine or made up; and strangers that send mutated datagrams, floods and any other
bytes. Meanwhile time passes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from random import Random
from typing import Any, Final

from fuzz.checked_node import (
    LIMITS,
    OTHERS,
    OURS,
    REMOTES,
    US,
    CheckedNode,
)
from fuzz.support import Script, bounded_work, retained
from peersockets_core import KeyPair, LocalProtocolError, RemoteProtocolError
from peersockets_core.address import SocketAddress
from peersockets_core.dht.messages import (
    HandshakePayload,
    HyperDhtCommand,
    Peer,
    RelayedHandshake,
    RelayedHolepunch,
    RelayMode,
    UdxInfo,
    encode_peers,
)
from peersockets_core.dht.noise_ik import HandshakeNoise
from peersockets_core.dht.rpc.address import encode_address, node_id
from peersockets_core.dht.rpc.messages import (
    RpcCommand,
    RpcRequest,
    RpcResponse,
    encode_request,
    encode_response,
)
from peersockets_core.dht.rpc.requests import Socket
from peersockets_core.dht.signing import key_hash, sign_announcement, sign_mutable
from peersockets_core.holepunch import Firewall

CALLS: Final = 60_000
CALLS_PER_ACT: Final = 12_000
"""Calls of Python functions allowed for the end, and for each datagram or action of the script. A query that
has to choose nodes again sorts the whole table."""

MEMORY: Final = 256 * 1024
"""Bytes that the node may hold with `LIMITS`, whatever has arrived."""

TIME: Final = 400.0
"""Seconds that an input lets pass: longer than the lifetime of any record, and until the node renews its
announcement. The node works in each of these seconds, so an hour would take long and show nothing new."""

OPTIONS: Final = ("-max_len=512",)
"""A few hundred bytes fill every store. Longer inputs take a second each."""

TOPIC: Final = b"t" * 32
_COMMANDS: Final = (*HyperDhtCommand, 10, 255)


@lru_cache
def _handshake(key_pair: KeyPair, number: int) -> bytes:
    """Return the first message of a remote that dials us."""
    payloads = (
        HandshakePayload(Firewall.OPEN, udx=UdxInfo(number), addresses=(REMOTES[1],)),
        HandshakePayload(Firewall.UNKNOWN, udx=UdxInfo(number)),
        HandshakePayload(Firewall.OPEN, version=2),
        HandshakePayload(Firewall.OPEN),
    )
    noise = HandshakeNoise(key_pair, Random(number).randbytes, OURS.ed25519_public_key)
    return noise.write(payloads[number % len(payloads)])


@lru_cache(256)
def _announcement(
    key_pair: KeyPair, command: HyperDhtCommand, target: bytes, token: bytes, relays: int
) -> bytes:
    return sign_announcement(command, key_pair, target, node_id(US), token, REMOTES[1 : 1 + relays]).encode()


@lru_cache
def _mutable(key_pair: KeyPair, seq: int, size: int) -> bytes:
    return sign_mutable(key_pair, seq, b"v" * size).encode()


class _Play:
    """All others, whose acts the script chooses."""

    def __init__(self, script: Script) -> None:
        self.script = script
        choice = script.byte()
        self.ours = CheckedNode(known=bool(choice & 1), adaptive=bool(choice & 2))
        self.end = self.ours.now + TIME
        self.started: list[Any] = []
        if not choice & 2:  # otherwise, its main socket has written to no host yet
            self.ours.machine.listen(self.ours.now)
            self.ours.machine.announce(TOPIC, self.ours.now)
            self.started.append(self.ours.machine.dial(OTHERS[0].ed25519_public_key, 1, self.ours.now))
        self.ours.collect(0, 0)

    # Acts

    def ask(self) -> None:
        """Let a remote look something up."""
        source = self._address()
        self.ours.hear(encode_request(self._request(source)), source)

    def announce(self) -> None:
        """Let a remote announce or withdraw a key, with the token that it got, if it got one."""
        script, source = self.script, self._address()
        key_pair, choice = OTHERS[script.choose(len(OTHERS))], script.byte()
        command = HyperDhtCommand.UNANNOUNCE if choice & 1 else HyperDhtCommand.ANNOUNCE
        target = key_hash(key_pair.ed25519_public_key) if choice & 2 else bytes((choice >> 3,)) * 32
        token = self.ours.tokens.get(source[0], bytes(32))
        value = _announcement(key_pair, command, target, token, choice & 3)
        self.ours.hear(
            encode_request(RpcRequest(choice, US, command, False, None, token, target, value)), source
        )

    def store(self) -> None:
        """Let a remote store a value."""
        script, source = self.script, self._address()
        token, choice = self.ours.tokens.get(source[0], bytes(32)), script.byte()
        if choice & 1:
            key_pair = OTHERS[choice >> 1 & 1]
            target = key_hash(key_pair.ed25519_public_key)
            value = key_pair.ed25519_public_key + _mutable(key_pair, script.choose(4), 8 * script.byte())
            command = HyperDhtCommand.MUTABLE_PUT
        else:
            value = bytes(script.take(2)) + b"v" * (16 * script.byte())
            target, command = key_hash(value), HyperDhtCommand.IMMUTABLE_PUT
        self.ours.hear(
            encode_request(RpcRequest(choice, US, command, False, None, token, target, value)), source
        )

    def shake_hands(self) -> None:
        """Let a remote dial us, or ask us to relay a handshake or a message of hole punching."""
        script, source = self.script, self._address()
        choice = script.byte()
        noise = _handshake(OTHERS[choice & 1], script.choose(16)) if choice & 2 else script.take(choice)
        peer = self._address() if choice & 4 else None
        relay = self._address() if choice & 8 else None
        mode, target = script.choose(6), self._target()
        if choice & 16:
            command, value = (
                HyperDhtCommand.PEER_HOLEPUNCH,
                RelayedHolepunch(mode, choice, noise, peer).encode(),
            )
        else:
            command, value = (
                HyperDhtCommand.PEER_HANDSHAKE,
                RelayedHandshake(mode, noise, peer, relay).encode(),
            )
        self.ours.hear(
            encode_request(RpcRequest(choice, US, command, False, None, None, target, value)), source
        )

    def answer(self) -> None:
        """Let a node answer a request, or let another node answer in its place."""
        if not self.ours.asked:
            return
        script = self.script
        to, request = self.ours.asked.pop(script.choose(len(self.ours.asked)))
        choice = script.byte()
        source = self._address() if choice & 1 else to
        socket = self._socket(to, request)
        id = node_id(source) if choice & 2 else None
        token = bytes((choice,)) * 32 if choice & 4 else None
        closer = tuple(self._named() for _ in range(script.choose(21))) if choice & 8 else ()
        value = self._value(request) if choice & 16 else None
        error = script.byte() if choice & 32 else 0
        response = RpcResponse(request.tid, US, id, token, closer, error, value)
        self.ours.hear(encode_response(response), source, socket=socket)

    def answer_everything(self) -> None:
        """Let all nodes answer their requests, in the same way."""
        script, asked = self.script, self.ours.asked
        self.ours.asked, choice = [], script.byte()
        closer = tuple(self._named() for _ in range(choice & 7))
        for to, request in asked:
            token = bytes(32) if choice & 16 else None
            value = encode_peers([Peer(OTHERS[0].ed25519_public_key).encode()]) if choice & 8 else None
            response = RpcResponse(request.tid, US, node_id(to), token, closer, 0, value)
            self.ours.hear(encode_response(response), to, socket=self._socket(to, request))

    def mutate(self) -> None:
        """Send a datagram of the node back to it, with a few bytes changed."""
        datagram = bytearray(
            self.ours.sent[self.script.choose(len(self.ours.sent))] if self.ours.sent else b"\x03"
        )
        for _ in range(self.script.choose(4)):
            datagram[self.script.byte() % len(datagram)] ^= self.script.byte()
        self.ours.hear(bytes(datagram), self._address())

    def send_anything(self) -> None:
        """Send any bytes, cut anywhere."""
        size, source = self.script.byte(), self._address()
        self.ours.hear(self.script.take(self.script.byte()), source, size)

    def flood(self) -> None:
        """Send the same request again and again, from many hosts, with many targets."""
        script, choice = self.script, self.script.byte()
        request = self._request(US)
        for number in range(1 + script.choose(64)):
            source = (f"9.9.{number * (choice & 1)}.1", 1 + number)
            target = bytes((number,)) * 32 if choice & 2 else request.target
            id = node_id(source) if choice & 4 else None
            again = RpcRequest(number, US, request.command, request.internal, id, None, target, request.value)
            self.ours.hear(encode_request(again), source)

    def use(self) -> None:
        """Use the node."""
        machine, script, now = self.ours.machine, self.script, self.ours.now
        choice = script.byte()
        target, key = self._target() or TOPIC, OTHERS[choice >> 4 & 1].ed25519_public_key
        match choice & 15:
            case 0:
                machine.lookup(target, now)
            case 1:
                machine.announce(target, now)
            case 2:
                machine.withdraw(target, now)
            case 3:
                self.started.append(machine.dial(key, choice, now, relays=[self._named()]))
            case 4 if self.started:
                machine.cancel(self.started.pop(), now)
            case 5:
                machine.get_mutable(key, now)
            case 6:
                machine.put_mutable(b"ours", choice, now)
            case 7:
                machine.get_immutable(target, now)
            case 8:
                machine.stop_listening(now)
            case 9:
                machine.listen(now)
            case 10:
                machine.network_changed(now)
            case 11 if self.ours.incoming:
                with suppress(LocalProtocolError):
                    machine.refuse(self.ours.incoming.pop())
            case _ if self.ours.incoming:
                with suppress(LocalProtocolError):
                    machine.accept(self.ours.incoming.pop(), choice, now)
        self.ours.acts += 1
        self.ours.take(machine.take_events(now))
        self.ours.collect(1, 2 * LIMITS.rpc.datagram, ways=8)

    def wait(self) -> None:
        """Time passes."""
        seconds = min(self.script.byte() ** 2 / 64, max(self.end - self.ours.now, 1.0))
        self.ours.pass_time(seconds)

    # The parts of these actions

    def _address(self) -> SocketAddress:
        return REMOTES[self.script.choose(len(REMOTES))]

    def _named(self) -> SocketAddress:
        """Return an address to name: that of another node, or one of thousands."""
        choice = self.script.byte()
        return REMOTES[choice & 7] if choice & 8 else ("8.8.8.8", 256 * choice + self.script.byte())

    def _target(self) -> bytes | None:
        choice = self.script.byte()
        keys = [key_hash(key_pair.ed25519_public_key) for key_pair in (OURS, *OTHERS)]
        targets = (None, TOPIC, *keys)
        return targets[choice] if choice < len(targets) else bytes((choice,)) * 32

    def _request(self, source: SocketAddress) -> RpcRequest:
        script = self.script
        choice = script.byte()
        internal = bool(choice & 1)
        command = script.choose(7) if internal else _COMMANDS[script.choose(len(_COMMANDS))]
        token = self.ours.tokens.get(source[0], bytes(32)) if choice & 2 else None
        value = script.take(script.byte()) if choice & 4 else None
        if internal and command == RpcCommand.DOWN_HINT:
            value = encode_address(self._named())
        id = node_id(source) if choice & 8 else bytes(32) if choice & 16 else None
        return RpcRequest(choice, US, command, internal, id, token, self._target(), value)

    def _value(self, request: RpcRequest) -> bytes:
        """Return an answer to a request, correct or not."""
        script, key_pair = self.script, OTHERS[0]
        choice = script.byte()
        if choice & 1:
            return script.take(choice)
        match request.command:
            case HyperDhtCommand.PEER_HANDSHAKE:
                return self._second_message(request, choice)
            case HyperDhtCommand.FIND_PEER:
                return Peer(key_pair.ed25519_public_key, REMOTES[: choice & 7]).encode()
            case HyperDhtCommand.MUTABLE_GET:
                return _mutable(key_pair, choice & 7, choice)
            case _:
                return encode_peers([Peer(key_pair.ed25519_public_key).encode()] * (choice >> 3))

    def _second_message(self, request: RpcRequest, choice: int) -> bytes:
        """Return the answer of the dialled key, which may also break the rules."""
        with suppress(RemoteProtocolError):
            noise = HandshakeNoise(OTHERS[choice >> 1 & 1], Random(choice).randbytes)
            noise.read_untrusted(bytes((request.value or b"")[3:]))
            return RelayedHandshake(
                RelayMode.REPLY,
                noise.write(
                    HandshakePayload(
                        choice >> 2 & 3,
                        addresses=(self._named(), self._named())[: choice >> 4 & 3],
                        udx=None if choice & 64 else UdxInfo(choice),
                        relays=(self._named(),) * (choice >> 5),
                    )
                ),
                self._named() if choice & 8 else None,
            ).encode()
        return b""

    def _socket(self, to: SocketAddress, request: RpcRequest) -> Socket:
        """Return the socket at which the answer to a request arrives: the one that sent it, or the main one
        for PING_NAT.
        """
        probed = (request.tid, to) in self.ours.probed and request.command != RpcCommand.PING_NAT
        return Socket.PROBE if probed else Socket.MAIN


_ACTS: Final[tuple[Callable[[_Play], None], ...]] = (
    _Play.ask, _Play.ask, _Play.announce, _Play.store, _Play.shake_hands, _Play.answer, _Play.answer,
    _Play.answer_everything, _Play.mutate, _Play.send_anything, _Play.flood, _Play.use, _Play.wait,
)  # fmt: skip

_ASK, _ANNOUNCE, _STORE, _SHAKE, _ANSWER, _ALL, _FLOOD, _USE, _WAIT = 0, 2, 3, 4, 5, 7, 10, 11, 12


def _asked(source: int) -> bytes:
    """Return a lookup, whose answer has a token."""
    return bytes((_ASK, source, 0, HyperDhtCommand.LOOKUP, 1))


KEPT: Final = (
    b"\1"
    + _asked(1)
    + b"".join(bytes((_ANNOUNCE, 1, key, 8 * topic)) for key in range(3) for topic in range(6)),
    b"\1" + b"".join(_asked(host) + bytes((_ANNOUNCE, host, 0, 8 * host)) for host in range(6)) * 2,
    b"\1"
    + b"".join(_asked(host) + bytes((_STORE, host, 0, host, n, 8)) for host in (1, 4, 5) for n in range(5)),
    b"\1" + bytes((_ALL, 31)) + bytes(range(14)) + bytes((_ALL, 24)) * 8 + bytes((_WAIT, 30, _ALL, 16)) * 6,
    b"\1" + b"".join(bytes((_SHAKE, 1, 2, number, 0, 2)) for number in range(8)) + bytes((_USE, 12)) * 4,
    b"\1" + bytes((_FLOOD, 7, 1, 2, 1, 63)) * 2 + bytes((_FLOOD, 6, 0, 3, 1, 63)),
    b"\0" + bytes((_WAIT, 255, _ALL, 31)) * 3 + bytes((_USE, 0, 200)) * 30 + bytes((_WAIT, 100)),
    b"\1"
    + bytes((_ASK, 1, 1, RpcCommand.DELAYED_PING)) * 6
    + b"\1"
    + bytes((_FLOOD, 4, 5, 4, 4, 1, 0, 0, 0, 1, 40)),
    b"\2" + bytes((_ALL, 0)) * 4 + bytes((_WAIT, 50, _ALL, 0)) * 6,
    b"\2" + bytes((_WAIT, 200, _ALL, 0)) * 3,
)
"""Every store is filled; handshakes are accepted; queries go on; floods; a node finds out that it is open,
and another that it is not."""


def run(data: bytes) -> None:
    """Play an input."""
    the = _Play(Script(data))
    with bounded_work(lambda: CALLS + CALLS_PER_ACT * the.ours.acts):
        while the.script:
            _ACTS[the.script.choose(len(_ACTS))](the)
            the.ours.check()
    assert retained(the.ours.machine) <= MEMORY, retained(the.ours.machine)
    the.ours.finish()
