"""`Keys`: the secrets of a stream whose handshake is finished."""

from __future__ import annotations

import attrs

from ..secret import Secret


@attrs.frozen
class Keys:
    """The result of a finished handshake, whichever handshake it was."""

    sending_key: Secret = attrs.field(converter=Secret)
    receiving_key: Secret = attrs.field(converter=Secret)
    handshake_hash: bytes
    remote_public_key: bytes
