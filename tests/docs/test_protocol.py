"""The written protocol: every rule names tests that exist, and tables and bytes are those of the code."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Final

import attrs
import pytest

from core.support import KEY
from core.wires.hypercore9 import test_channels
from core.wires.hypercore11 import mux_support
from docs.markdown import BLOCKS, ROOT, Block
from docs.worked import WORKED
from peersockets_core import DEFAULT_LIMITS, DriveClosed, DriveOpened, RemoteProtocolError
from peersockets_core.udx import DEFAULT_UDX_LIMITS
from peersockets_core.wires.hypercore9 import messages
from peersockets_core.wires.hypercore9.messages import Close, Open
from peersockets_trio.browser import DEFAULT_GATEWAY_LIMITS

PAGES: Final = {page.stem: page.read_text() for page in sorted((ROOT / "docs" / "protocol").glob("*.md"))}
RULES: Final = [
    (page, number, text)
    for page, content in PAGES.items()
    for number, text in re.findall(r"^\*\*([A-Z]\w*-\d+)\.\*\* (.*?)(?=^\*\*|^#|\Z)", content, re.M | re.S)
]
NUMBERS: Final = [number for _, number, _ in RULES]


@cache
def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("page", "number", "text"), RULES, ids=NUMBERS)
def test_every_rule_names_tests_that_exist(page: str, number: str, text: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert named
    for path, function in named:
        assert function in functions(path), f"{page}: {number} names {path}::{function}"


def test_rules_are_numbered_in_order_and_once() -> None:
    assert max(Counter(NUMBERS).values()) == 1
    for page in PAGES:
        numbers = [number.partition("-") for name, number, _ in RULES if name == page]
        assert [int(last) for _, _, last in numbers] == list(range(1, len(numbers) + 1))
        assert len({first for first, _, _ in numbers}) == 1


def test_mentioned_rules_exist() -> None:
    prefixes = "|".join({number.partition("-")[0] for number in NUMBERS})
    mentioned = {number for text in PAGES.values() for number in re.findall(rf"\b(?:{prefixes})-\d+\b", text)}
    assert mentioned <= set(NUMBERS)


BYTES: Final = [block for block in BLOCKS if block.marked("bytes")]


def test_every_worked_example_is_shown() -> None:
    assert sorted(block.marked("bytes") for block in BYTES) == sorted(WORKED)


@pytest.mark.parametrize("block", BYTES, ids=lambda block: block.marked("bytes"))
def test_bytes_match_the_code(block: Block) -> None:
    shown = dict(re.split(r"\s{2,}|\s(?=\S+$)", line) for line in block.code.splitlines())
    computed = {label: data.hex() for label, data in WORKED[block.marked("bytes")]().items()}
    assert shown == computed


@pytest.mark.interop
def test_the_bytes_of_hypercore11_match_the_reference() -> None:
    arguments = (str(Path(__file__).with_name("reference.js")), KEY.public_key.hex(), KEY.discovery_key.hex())
    written = subprocess.run(["node", *arguments], capture_output=True, check=True, timeout=120).stdout
    for name, labelled in json.loads(written).items():
        computed = {label: data.hex() for label, data in WORKED[name]().items()}
        assert labelled.items() <= computed.items()


def rows(page: str, header: str) -> list[list[str]]:
    """Return the cells of the table with this header."""
    table = PAGES[page].partition(f"| {header} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_bounds_match_the_code() -> None:
    shown = {field.strip("`"): float(default) for field, default, _, _ in rows("limits", "field | default")}
    assert shown == attrs.asdict(DEFAULT_LIMITS)


def test_bounds_of_udx_match_the_code() -> None:
    shown = {field.strip("`"): float(default) for field, default, _ in rows("udx", "field | default")}
    assert shown == attrs.asdict(DEFAULT_UDX_LIMITS)


def test_bounds_of_the_gateway_match_the_code() -> None:
    shown = {field.strip("`"): float(default) for field, default, _ in rows("browser", "bound | default")}
    assert shown == attrs.asdict(DEFAULT_GATEWAY_LIMITS)


KINDS: Final = {
    messages.BYTES: "bytes",
    messages.STRING: "string",
    messages.UINT64: "uint64",
    messages.BOOL: "bool",
}


def described(message: type[messages.ChannelMessage | messages.NoisePayload]) -> str:
    """Return the fields of a message as the page lists them."""
    fields = []
    for field in attrs.fields(message):
        first, *others = field.name.split("_")
        name = first + "".join(map(str.capitalize, others))
        repeated = "repeated " if "repeated" in field.metadata else ""
        required = ", required" if field.default is attrs.NOTHING else ""
        default = f", {field.default} if absent" if isinstance(field.default, int) else ""
        kind = KINDS[field.metadata["kind"]]
        fields.append(f"{field.metadata['number']} {name}: {repeated}{kind}{required}{default}")
    return "; ".join(fields)


def test_the_messages_of_hypercore9_match_the_code() -> None:
    shown = [tuple(row) for row in rows("hypercore9", "type | message")]
    assert shown == [
        (str(number), message.__name__, described(message)) for number, message in enumerate(messages.TYPES)
    ]
    assert f"is {described(messages.NoisePayload)}." in PAGES["hypercore9"]


# Tables of states. A test reaches the state, makes the event happen, and compares with the row.

HYPERCORE9: Final = rows("hypercore9", "state | event")
PROTOMUX: Final = rows("hypercore11", "state | event")


class Drive:
    """One side's channel of a drive on hypercore9."""

    reached: Final = {
        "closed": (),
        "offered": ("we open",),
        "shared": ("we open", "Open"),
        "left": ("we open", "Open", "Close"),
        "refused": ("we open", "Close, refusing"),
    }

    def __init__(self) -> None:
        self._side = test_channels.Side()

    def happen(self, event: str) -> None:
        side, key = self._side, KEY.discovery_key
        match event:
            case "we open":
                side.channels.open(KEY)
            case "we close":
                side.channels.close(key)
            case "Open":
                side.receive(1, test_channels.theirs())
            case "Open, not proved":
                side.receive(1, Open(key, bytes(32)))
            case "Close":
                side.receive(1, Close())
            case "Close, refusing":
                side.receive(9, Close(key))

    def sent(self) -> str:
        refusing = Close(KEY.discovery_key)
        sent = [message for _, message in self._side.take()]
        return ", ".join("Close, refusing" if m == refusing else type(m).__name__ for m in sent)

    def events(self) -> str:
        names = {DriveOpened: "joined", DriveClosed: "left"}
        events, self._side.events = self._side.events, []
        return ", ".join(names[type(event)] for event in events)

    @property
    def state(self) -> str:
        channel = self._side.channels.by_key.get(KEY.discovery_key)
        if channel is None:
            return "closed"
        if channel.remote is not None:
            return "shared"
        if channel.local is None:
            return "refused"
        return "offered" if channel.offered else "left"


class Key:
    """One side's channel of a key on protomux."""

    reached: Final = {
        "closed": (),
        "asked": ("Open, put off",),
        "offered": ("we open",),
        "open": ("we open", "Open"),
        "given up": ("we open", "we close"),
        "waiting": ("we open", "we close", "we open"),
    }
    _controls: Final = {1: "Open", 2: "Reject", 3: "Close"}

    def __init__(self) -> None:
        self._side = mux_support.MuxSide()
        self._numbers = 0
        self._key = ("p", b"id")

    def happen(self, event: str) -> None:
        side = self._side
        match event:
            case "we open":
                side.open()
            case "we close":
                side.mux.close(side.mux.local.by_key[self._key])
            case "we reject":
                side.mux.reject(*self._key)
            case "Reject":
                side.mux.receive_untrusted(mux_support.rejecting(1))
            case "Close":
                side.mux.receive_untrusted(mux_support.closing(self._numbers))
            case _:
                self._open(event)

    def _open(self, event: str) -> None:
        if event == "Open, wanted":
            self._side.answer()
        elif event == "Open, put off":
            self._side.decide_later()
        self._numbers += 1
        self._side.mux.receive_untrusted(mux_support.opening(self._numbers))

    def sent(self) -> str:
        controls = []
        for frame in self._side.take():
            rest = frame[3:]  # a batch on channel 0
            while rest:
                controls.append(self._controls[rest[1]])
                rest = rest[1 + rest[0] :]
        return ", ".join(controls)

    def events(self) -> str:
        heard, self._side.handler.heard = self._side.handler.heard, []
        return ", ".join("closed" if event == "closed" else "opened" for event in heard)

    @property
    def state(self) -> str:
        mux = self._side.mux
        if self._key in mux.remote.waiting:
            return "asked"
        given_up = mux.local.unanswered.get(self._key)
        if self._key in mux.local.waiting:
            return "waiting"
        ours = mux.local.by_key.get(self._key) or given_up
        return ours.state.value if ours is not None else "closed"


def go_by(side: Drive | Key, row: list[str]) -> None:
    state, event, sends, reports, then = row
    for earlier in side.reached[state]:
        side.happen(earlier)
    assert side.state == state
    side.sent()
    side.events()
    if then == "connection ends":
        with pytest.raises(RemoteProtocolError):
            side.happen(event)
    else:
        side.happen(event)
        assert (side.sent(), side.events(), side.state) == (sends, reports, then)


@pytest.mark.parametrize("row", HYPERCORE9, ids=lambda row: f"{row[0]} - {row[1]}")
def test_channels_of_hypercore9_follow_the_table(row: list[str]) -> None:
    go_by(Drive(), row)


@pytest.mark.parametrize("row", PROTOMUX, ids=lambda row: f"{row[0]} - {row[1]}")
def test_channels_of_protomux_follow_the_table(row: list[str]) -> None:
    go_by(Key(), row)


@pytest.mark.parametrize(("table", "side"), [(HYPERCORE9, Drive), (PROTOMUX, Key)])
def test_tables_have_every_state(table: list[list[str]], side: type[Drive | Key]) -> None:
    assert {row[0] for row in table} == set(side.reached)
