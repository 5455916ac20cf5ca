"""Finds out which user of this machine has opened a connection. This works only on Linux."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

_SOCK_DIAG: Final = 4
"""The protocol of netlink that describes sockets: see sock_diag(7)."""
_DIAG_BY_FAMILY: Final = 20
_REQUEST: Final = 1
_ALL: Final = 0xFFFFFFFF
_HEAD: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_QUESTION: Final = struct.Struct("=BBBxI")
"""The start of inet_diag_req_v2: family, protocol, extensions, states."""
_PORTS: Final = struct.Struct(">HH")
_REST: Final = struct.Struct("=III")  # the end of inet_diag_sockid: interface, cookie
_ADDRESS: Final = 16
_UID_AT: Final = _HEAD.size + 4 + 48 + 12
"""The offset of the user in the answer: after four bytes, inet_diag_sockid, and three numbers."""
_ANSWER: Final = 4096
_ROOT: Final = 0


def is_foreign(accepted: socket.socket) -> bool:
    """Return whether the other end of a local connection belongs to a user other than ours and root.

    If the system does not say, this returns False.
    """
    user = _user_of(accepted)
    return user is not None and user not in (os.geteuid(), _ROOT)


def _user_of(accepted: socket.socket) -> int | None:
    """Return the user that owns the other end of a connection, or None if the system does not say."""
    kind = getattr(socket, "AF_NETLINK", None)
    if kind is None:
        return None
    family = accepted.family
    try:
        client, server = accepted.getpeername(), accepted.getsockname()
        hosts = (socket.inet_pton(family, host) for host, *_ in (client, server))
        addresses = b"".join(host.ljust(_ADDRESS, b"\0") for host in hosts)
        question = (
            _QUESTION.pack(family, socket.IPPROTO_TCP, 0, _ALL)
            + _PORTS.pack(client[1], server[1])
            + addresses
            + _REST.pack(0, _ALL, _ALL)
        )
        head = _HEAD.pack(_HEAD.size + len(question), _DIAG_BY_FAMILY, _REQUEST, 1, 0)
        with socket.socket(kind, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as netlink:
            netlink.setblocking(False)  # the kernel answers within the call
            netlink.send(head + question)
            answer = netlink.recv(_ANSWER)
    except OSError:
        return None
    if len(answer) < _UID_AT + 4 or _HEAD.unpack_from(answer)[1] != _DIAG_BY_FAMILY:
        return None  # the other end has gone
    user: int = struct.unpack_from("=I", answer, _UID_AT)[0]
    return user
