"""docs/pipe.schema.json: `cli.support` checks every event with it, and these tests check the commands."""

from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator, ValidationError

from cli.pipe_schema import COMMANDS, EVENTS, SCHEMA, check_command, check_line
from cli.support import Event, run, run_pipe

MESSAGE: Event = {"topic": "chat", "message": "aGk="}
EXAMPLES: list[Event] = [
    {"command": "join", "topic": "chat"},
    {"command": "close", "topic": "chat"},
    {"command": "send", "peerId": 1, **MESSAGE},
    {"command": "broadcast", "topic": "chat", "text": "hi"},
    {"command": "request", "id": "a", "peerId": 1, "timeout": 0.5, **MESSAGE},
    {"command": "cancel", "id": 1},
    {"command": "serve", "topic": "chat"},
    {"command": "reply", "id": 1, "text": ""},
    {"command": "refuse", "id": 1, "text": "no"},
    {"command": "connect", "address": "127.0.0.1:1", "wire": "hypercore9"},
    {"command": "disconnect", "peerId": 1},
    {"command": "peers"},
    {"command": "stats"},
]


def test_the_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert sorted(COMMANDS) == sorted(example["command"] for example in EXAMPLES)


def test_the_schema_has_the_commands_and_events_of_the_program() -> None:
    (error,) = run_pipe({"command": "dance"})
    listed = re.fullmatch(r"command must be one of (.+), not 'dance'", error["message"])
    assert listed is not None
    assert sorted(listed[1].split(", ")) == sorted(COMMANDS)
    shown = run("pipe", "--help").stdout.decode()
    assert set(re.findall(r'"command":"(\w+)"', shown)) == set(COMMANDS)
    events = re.search(r"Events: ([\w,\s]+) as\s+the\s+last\.", shown)
    assert events is not None
    assert set(re.split(r",\s+(?:and\s+)?", events[1])) == set(EVENTS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["command"]))
def test_a_command_and_each_of_its_fields(example: Event) -> None:
    check_command(example)
    check_line(example)
    for name in example.keys() - {"command", "wire"}:
        less = {key: value for key, value in example.items() if key != name}
        with pytest.raises(ValidationError):
            check_command(less)


def test_an_invalid_event() -> None:
    for line in ({"event": "join"}, {"event": "dance"}, {"event": "closed", "more": 1}, {}):
        with pytest.raises(ValidationError):
            check_line(line)
