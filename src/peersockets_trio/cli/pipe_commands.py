"""The commands of `pipe`, one JSON object a line, and the checks of their fields."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any, Final, TypeAlias

PipeCommand: TypeAlias = dict[str, Any]

LONGEST_WAIT: Final = 24 * 60 * 60
"""The most seconds that a `timeout` may have."""


def parse(line: bytes) -> PipeCommand:
    """Read a command. Raises `ValueError` if the line holds none."""
    try:
        command = json.loads(line, parse_constant=_refuse_number, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(command, dict):
        raise ValueError("a command must be a JSON object")
    return command


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def finite(text: str) -> float:
    """Return the number that a text shows. Raises `ValueError` for one that is too large."""
    return float(text) if math.isfinite(float(text)) else _refuse_number(text)


def field(command: PipeCommand, name: str, kind: type[Any]) -> Any:
    """Return a field that is text (`str`) or a number (`int`). Raises `ValueError`, which names it."""
    value = command.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _unfit(name, {str: "text", int: "a number"}[kind], value)
    return value


def payload(command: PipeCommand) -> bytes:
    """Return the bytes of "message", in base64, or of "text". Raises `ValueError`."""
    if ("message" in command) == ("text" in command):
        raise ValueError('give exactly one of "message" and "text"')
    if "text" in command:
        try:
            return str.encode(field(command, "text", str))
        except UnicodeEncodeError:
            raise ValueError("text must not contain lone surrogates") from None
    try:
        return base64.b64decode(field(command, "message", str), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"message must be base64: {error}") from None


def identifier(command: PipeCommand) -> int | str:
    """Return "id", the program's name of a request: text or a whole number. Raises `ValueError`."""
    value = command.get("id")
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise _unfit("id", "text or a whole number", value)
    return value


def timeout(command: PipeCommand) -> float:
    """Return "timeout" in seconds. Raises `ValueError`."""
    value = command.get("timeout")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_WAIT:
        raise _unfit("timeout", f"a number of seconds, more than 0 and up to {LONGEST_WAIT}", value)
    return float(value)


def _unfit(name: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{name} must be {wanted}, not {json.dumps(value)[:80]}")
