"""Search every error that any test of the core provokes for every secret that exists at that time.

The core's tests reach every line of the core, so this check reaches every one of its errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core.secrecy import Witness
from core.support import KEY, OTHER_KEY
from peersockets_core import PeersocketsError
from peersockets_core.secret import Secret


@pytest.fixture(autouse=True, scope="module")
def no_error_shows_a_secret() -> Iterator[Witness]:
    witness = Witness()

    def make(cls: type[Secret], *arguments: Any) -> Secret:
        secret = bytes.__new__(cls, *arguments)
        witness.note_secret(bytes(secret))
        return secret

    def begin(error: PeersocketsError, *arguments: object) -> None:
        Exception.__init__(error, *arguments)
        witness.note_error(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Secret, "__new__", make, raising=False)
        patch.setattr(PeersocketsError, "__init__", begin)
        yield witness
    for key in (KEY, OTHER_KEY):
        witness.note_public(key.discovery_key)
    assert witness.shown() == []
