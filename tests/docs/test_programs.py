from __future__ import annotations

from pathlib import Path

from docs.markdown import BLOCKS
from docs.programs import write_programs


def test_each_block_of_python_becomes_a_module_of_its_own(tmp_path: Path) -> None:
    written = write_programs(tmp_path / "programs")
    assert len(set(written)) == len([block for block in BLOCKS if block.language == "python"])
    assert all(path.stem.isidentifier() for path in written)
    for path in written:
        compile(path.read_text(), path, "exec")


def test_programs_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / "old.py").touch()
    assert tmp_path / "old.py" not in write_programs(tmp_path)
    assert not (tmp_path / "old.py").exists()
