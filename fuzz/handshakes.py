"""A remote that shakes hands with valid encryption, or with none, for harnesses of both wires.

The first byte of an input chooses our role, whether a responder has to detect the wire, and how the remote
begins. For each message of a proper remote, the script gives the payload, whether to spoil the message, and
how to cut it up; then the remote sends the rest of the script. An improper remote sends the script as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from peersockets_core import HandshakeCompleted, KeyPair, RemoteProtocolError, WireName
from peersockets_core.crypto.noise import DHFunction, DHKeyPair, NoiseHandshake

from .connections import CALLS, CALLS_PER_BYTE, Observer, check, connection
from .support import Script, bounded_work, cuts, fixed_entropy

OURS, THEIRS = 7, 9


def play(
    wire: WireName,
    data: bytes,
    *,
    dh: DHFunction,
    static: Callable[[KeyPair], DHKeyPair],
    frame: Callable[[bytes], bytes],
    unframe: Callable[[bytes], tuple[bytes, bytes]],
) -> None:
    """Play an input. `frame` puts the length before a message, and `unframe` takes the first message off."""
    script = Script(data)
    first = script.byte()
    initiator = bool(first & 1)
    ours = connection(None if first & 2 and not initiator else wire, initiator=initiator, seed=OURS)
    observer = Observer(ours)
    heard = 0
    spoilt = False

    def hear(said: bytes, size: int) -> None:
        nonlocal heard
        for piece in cuts(said, size):
            heard += len(piece)
            events = ours.receive_data(piece, 0.0)
            observer.see(events)
            for event in events:
                if isinstance(event, HandshakeCompleted):
                    assert event.remote_public_key == proved.public_key != ours.key_pair.public_keys[wire]
                    assert not spoilt, "a spoilt message was believed"

    seed = OURS if first & 8 else THEIRS
    proved = static(KeyPair.from_seed(bytes((seed,)) * 32))
    noise = NoiseHandshake(
        initiator=not initiator,
        dh=dh,
        static=proved,
        ephemeral=dh.generate(fixed_entropy(seed)(32)),
    )
    # The bytes of the script count as well, because the remote may send an empty message a thousand times.
    with bounded_work(lambda: 10 * CALLS + CALLS_PER_BYTE * (heard + len(data))):
        unread = b""
        while not first & 4 and not noise.finished and not ours.closed:
            if noise.writing:
                message = frame(noise.write_message(script.chunk()))
                said = _spoilt(message, script)
                spoilt |= said != message
                hear(said, script.byte())
                continue
            unread += bytes(ours.data_to_send())
            if not unread:
                break  # our message was spoilt
            message, unread = unframe(unread)
            try:
                noise.read_message_untrusted(message)
            except RemoteProtocolError:
                break
        while script and not ours.closed:
            hear(script.chunk(), script.byte())
            ours.data_to_send()
    check(ours, observer, heard)


def _spoilt(message: bytes, script: Script) -> bytes:
    """Return the message, with one byte changed if the script says so."""
    mask = script.byte()
    if not mask:
        return message
    position = script.byte() % len(message)
    return message[:position] + bytes((message[position] ^ mask,)) + message[position + 1 :]
