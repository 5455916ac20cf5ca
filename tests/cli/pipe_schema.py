"""docs/pipe.schema.json, and the checks of lines against it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

PATH: Final = Path(__file__).parents[2] / "docs" / "pipe.schema.json"
SCHEMA: Final[dict[str, Any]] = json.loads(PATH.read_text())
COMMANDS: Final[dict[str, Any]] = SCHEMA["$defs"]["commands"]
EVENTS: Final[dict[str, Any]] = SCHEMA["$defs"]["events"]


@cache
def _validator(place: str) -> Draft202012Validator:
    return Draft202012Validator({"$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{place}"})


def check_event(event: dict[str, Any]) -> None:
    """Raise `jsonschema.ValidationError` unless an event conforms to the schema."""
    assert event["event"] in EVENTS
    _validator(f"events/{event['event']}").validate(event)


def check_command(command: dict[str, Any]) -> None:
    """Raise `jsonschema.ValidationError` unless a command conforms to the schema."""
    assert command["command"] in COMMANDS
    _validator(f"commands/{command['command']}").validate(command)


def check_line(line: dict[str, Any]) -> None:
    """Raise `jsonschema.ValidationError` unless a line of either kind conforms to the whole schema."""
    Draft202012Validator(SCHEMA).validate(line)
