"""`peersockets_core.secret`: bytes that work like any others, but that no text shows."""

from __future__ import annotations

import ast
import copy
import hmac
import logging
import pickle
from pathlib import Path

import attrs
import pytest

import peersockets_core
from core.secrecy import Witness, shown
from peersockets_core import RemoteProtocolError
from peersockets_core.secret import Secret, as_secret

PLAIN = bytes(range(64, 96))
SECRET = Secret(PLAIN)


@attrs.frozen
class _Holder:
    secret: bytes = attrs.field(converter=as_secret)


@pytest.mark.parametrize(
    "text",
    [
        str(SECRET),
        repr(SECRET),
        ascii(SECRET),
        f"{SECRET} {SECRET!r:.80} {SECRET!s:>80}",
        "%s %r %a" % (SECRET, SECRET, SECRET),  # type: ignore[str-bytes-safe]  # noqa: UP031
        "{}".format(SECRET),  # noqa: UP032
        str([SECRET, {SECRET: (SECRET,)}]),
        str(ValueError(SECRET)),
        repr(KeyError(SECRET)),
        str(_Holder(PLAIN)),
        str(attrs.asdict(_Holder(PLAIN))),
        str(SECRET[4:]),
        str(SECRET[::-1]),
        str(SECRET + b"!"),
        str(b"!" + SECRET),
        str(bytearray(b"!") + SECRET),
        str(copy.deepcopy(SECRET)),
        str(pickle.loads(pickle.dumps(SECRET))),
        logging.makeLogRecord({"msg": "%s", "args": (SECRET,)}).getMessage(),
    ],
)
def test_no_text_contains_it(text: str) -> None:
    assert not shown([PLAIN], text)


def test_the_size_is_no_secret() -> None:
    assert str(SECRET) == "<secret of 32 bytes>"
    assert f"{SECRET:>22}" == "  <secret of 32 bytes>"


def test_the_bytes_are_returned_on_request() -> None:
    assert SECRET.hex() == PLAIN.hex()
    assert type(bytes(SECRET)) is bytes
    assert shown([PLAIN], SECRET.hex())
    assert shown([PLAIN], str(bytes(SECRET)))


def test_it_works_wherever_bytes_do() -> None:
    assert SECRET == PLAIN
    assert hash(SECRET) == hash(PLAIN)
    assert SECRET[0] == PLAIN[0]
    assert list(SECRET) == list(PLAIN)
    assert b"".join((SECRET, b"!")) == PLAIN + b"!" == SECRET + b"!"
    assert b"!" + SECRET == b"!" + PLAIN
    assert memoryview(SECRET) == PLAIN
    assert hmac.compare_digest(SECRET, PLAIN)


def test_values_other_than_bytes_are_left_to_the_validator() -> None:
    wrong: object = 5
    assert as_secret(wrong) is wrong  # type: ignore[arg-type]


# Texts in the packages

SOURCE = Path(peersockets_core.__file__).parent.parent
PUBLIC = {
    "keys.py": {"self.public_key.hex()"},  # DriveKey.url, on request
    "connection.py": {"discovery_key.hex()", "self.remote_public_key.hex()"},
    "wires/hypercore9/channels.py": {"discovery_key.hex()"},
    "errors.py": {"expected.hex()", "actual.hex()"},
    "wires/hypercore11/protomux.py": {"channel_id.hex()"},
    "topics/naming.py": {"discovery_key.hex()"},
    "trace/replay.py": {"data.hex()"},  # ciphertext
}
"""The values that the core writes into a text in hex, by module."""


def _revealing(path: Path) -> set[str]:
    """Find expressions in a module's texts that make bytes readable."""
    texts = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.JoinedStr)]
    calls = [node for text in texts for node in ast.walk(text) if isinstance(node, ast.Call)]
    return {
        ast.unparse(call)
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] in {"hex", "bytes", "decode", "hexlify", "b64encode"}
    }


CORE = sorted((SOURCE / "peersockets_core").rglob("*.py"))


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_text_of_the_core_reveals_a_secret(path: Path) -> None:
    name = str(path.relative_to(SOURCE / "peersockets_core"))
    assert _revealing(path) == PUBLIC.get(name, set())


def test_a_text_that_reveals_a_secret_would_be_found(no_error_shows_a_secret: Witness) -> None:
    secret = Secret(PLAIN)
    no_error_shows_a_secret.note_secret(PLAIN)
    for text in (f"with {secret.hex()}", f"with {secret[3:20].hex()}", f"with {bytes(secret)!r}"):
        error = RemoteProtocolError(text)
        assert str(error) in no_error_shows_a_secret.shown()
        no_error_shows_a_secret.texts -= {str(error), repr(error)}
