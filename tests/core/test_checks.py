"""Errors name the bad argument, and have the types that Python's own functions raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from peersockets_core import checks
from peersockets_core.buffer import Buffer

KEY = "11" * 32


@pytest.mark.parametrize("value", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")])
def test_every_type_of_buffer_is_accepted(value: Buffer) -> None:
    taken = checks.as_bytes(value, "data")
    assert type(taken) is bytes
    assert taken == b"bytes"


def test_bytes_are_not_copied() -> None:
    value = bytes(1000)
    assert checks.as_bytes(value, "data") is value


def test_good_arguments_pass() -> None:
    checks.check_address(("a.host", 1))
    checks.check_port(0, lowest=0)
    checks.check_wire("hypercore11")
    checks.check_timeout(0)
    checks.check_timeout(float("inf"))
    assert checks.check_expect(None) is None
    assert checks.check_expect(KEY) == bytes.fromhex(KEY)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: checks.as_bytes("text", "data"), TypeError, "data must be bytes, not str"),
        (lambda: checks.check_address(["a", 1]), TypeError, "address must be a pair of host and port"),  # type: ignore[arg-type]
        (lambda: checks.check_address(("a", 0)), ValueError, "port must be from 1 to 65535, not 0"),
        (lambda: checks.check_host(5), TypeError, "host must be str, not int"),  # type: ignore[arg-type]
        (lambda: checks.check_host("a" * 64), ValueError, "is not a host name"),
        (lambda: checks.check_port("5", lowest=0), TypeError, "port must be int, not str"),  # type: ignore[arg-type]
        (lambda: checks.check_port(65536, lowest=0), ValueError, "port must be from 0 to 65535, not 65536"),
        (lambda: checks.check_wire("morse"), ValueError, "wire must be one of .*, not 'morse'"),
        (lambda: checks.check_expect("short"), ValueError, "expect must be a public key"),
        (lambda: checks.check_timeout("1"), TypeError, "timeout must be a number of seconds, not str"),
        (lambda: checks.check_timeout(-1), ValueError, "timeout must be 0 seconds or more, not -1"),
        (
            lambda: checks.check_timeout(float("nan")),
            ValueError,
            "timeout must be 0 seconds or more",
        ),
    ],
)
def test_the_error_names_the_bad_argument(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
