from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from peersockets_trio.browser import users
from peersockets_trio.browser.users import is_foreign

CONNECT = """
import os, socket, sys
os.setuid(int(sys.argv[3]))
connection = socket.socket(int(sys.argv[4]))
connection.connect((sys.argv[1].encode(), int(sys.argv[2])))  # text needs a module, which may be unreadable
connection.sendall(b"x")
connection.recv(1)
"""
NOBODY = 65534


def connect_as(user: int, host: str, family: socket.AddressFamily) -> bool:
    """Return whether a connection of a user counts as foreign."""
    with socket.create_server((host, 0), family=family) as listener:
        listener.settimeout(60)
        arguments = (host, str(listener.getsockname()[1]), str(user), str(int(family)))
        with subprocess.Popen([sys.executable, "-c", CONNECT, *arguments]) as process:
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(60)
                assert accepted.recv(1) == b"x"
                foreign = is_foreign(accepted)
            assert process.wait(60) == 0
    return foreign


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_our_own_connections_are_not_foreign(host: str, family: socket.AddressFamily) -> None:
    assert not connect_as(os.geteuid(), host, family)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_connections_of_another_user_are_foreign(
    host: str, family: socket.AddressFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If we are root, somebody else connects; otherwise, we look as if we were somebody else."""
    if os.geteuid() == 0:
        assert connect_as(NOBODY, host, family)
    else:
        user = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
        assert connect_as(user, host, family)


@pytest.mark.parametrize("fault", ["no netlink", "no answer"])
def test_without_information_from_the_system_nobody_is_foreign(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    if fault == "no netlink":
        monkeypatch.delattr(socket, "AF_NETLINK")
    else:
        monkeypatch.setattr(users, "_SOCK_DIAG", 10_000)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            assert not is_foreign(accepted)


def test_an_end_that_has_gone_is_not_foreign() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.socket() as client:
            client.connect(listener.getsockname())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted, _ = listener.accept()
        with accepted:
            assert not is_foreign(accepted)
