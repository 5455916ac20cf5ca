"""The bytes in docs/requests.md are those that are sent."""

import re
from pathlib import Path

import pytest

from peersockets_core.topics.envelope import Kind, decode_untrusted, encode

PAGE = Path(__file__).parents[2] / "docs" / "requests.md"
ROW = re.compile(
    r"^\| `([0-9a-f ]+)` \| `\[(\d), (\d+)(?:, (?:h.([0-9a-f]*).|\"(.*)\"))?\]` \|", re.MULTILINE
)
ROWS = ROW.findall(PAGE.read_text())


def test_no_row_of_bytes_is_left_out() -> None:
    assert len(ROWS) == len(re.findall(r"^\| `8[23] ", PAGE.read_text(), re.MULTILINE)) > 0
    assert {int(kind) for _, kind, *_ in ROWS} == set(Kind)


@pytest.mark.parametrize(("shown", "kind", "number", "data", "text"), ROWS, ids=lambda value: value)
def test_the_shown_bytes(shown: str, kind: str, number: str, data: str, text: str) -> None:
    bodies = {Kind.ERROR: text, Kind.CANCEL: None}
    message = encode(Kind(int(kind)), int(number), bodies.get(Kind(int(kind)), bytes.fromhex(data)))
    assert message.hex(" ") == shown
    assert decode_untrusted(message)[:2] == (int(kind), int(number))
