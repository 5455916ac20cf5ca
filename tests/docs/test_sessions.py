"""The sessions of the documentation, run in terminals."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.markdown import BLOCKS, Block
from docs.session import Session, session_blocks

SESSIONS = session_blocks()


@pytest.mark.interop
@pytest.mark.parametrize("blocks", SESSIONS.values(), ids=SESSIONS)
def test_session(blocks: list[tuple[str, Block]], tmp_path: Path) -> None:
    session = Session(tmp_path)
    try:
        for terminal, block in blocks:
            session.play(terminal, block)
        session.close()
    finally:
        session.stop()


def test_every_program_is_run() -> None:
    shown = "".join(block.code for blocks in SESSIONS.values() for _, block in blocks)
    programs = {block.marked("file"): block.code for block in BLOCKS if block.marked("file")}
    for name in programs:
        others = "".join(code for other, code in programs.items() if other != name)
        assert name in shown or f"./{Path(name).stem}'" in others, f"nothing runs {name}"
