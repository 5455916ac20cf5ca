"""Fields of commands: the errors that name them. test_pipe.py has others."""

from __future__ import annotations

from typing import Any

import pytest

from peersockets_trio.cli.pipe_commands import LONGEST_WAIT, identifier, timeout


@pytest.mark.parametrize("value", [0.5, 1, LONGEST_WAIT])
def test_a_timeout(value: float) -> None:
    assert timeout({"timeout": value}) == value


@pytest.mark.parametrize("value", [0, -1, LONGEST_WAIT + 1, 10**400, "1", True, None])
def test_a_bad_timeout(value: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^timeout must be a number of seconds, more than 0 and up to 86400"
    ):
        timeout({"timeout": value})


@pytest.mark.parametrize("value", [0, -1, "", "a"])
def test_an_id(value: int | str) -> None:
    assert identifier({"id": value}) == value


@pytest.mark.parametrize("value", [1.0, True, None, [], {}])
def test_a_bad_id(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^id must be text or a whole number, not "):
        identifier({"id": value})
