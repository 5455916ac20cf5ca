"""`peersockets_trio.cli.secret_files`: files for their owner only. No file is lost or overwritten."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import click
import pytest

from peersockets_trio.cli.secret_files import new_file, read_file


@pytest.mark.parametrize("force", [False, True])
def test_no_other_user_can_read_it_at_any_moment(force: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0)
    try:
        with new_file(path, force=force) as file:
            [created] = tmp_path.iterdir()
            assert stat.S_IMODE(created.stat().st_mode) == 0o600
            file.write(b"secret")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("force", [False, True])
def test_an_empty_file_is_removed(force: bool, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "file", force=force):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(click.ClickException, match="--force"), new_file(path):
        raise AssertionError
    with pytest.raises(ZeroDivisionError), new_file(path, force=True):
        raise ZeroDivisionError
    assert path.read_text() == "precious"
    with new_file(path, force=True) as file:
        assert path.read_text() == "precious"
        file.write(b"new")
    assert path.read_text() == "new"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(click.ClickException), new_file(path):
        raise AssertionError
    with new_file(path, force=True) as file:
        file.write(b"new")
    assert not path.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_content_that_cannot_be_written_is_kept_elsewhere(tmp_path: Path) -> None:
    with new_file(tmp_path / "folder", force=True) as file:
        (tmp_path / "folder" / "full").mkdir(parents=True)  # in the meantime
        with pytest.raises(click.ClickException, match="its content is in") as caught:
            file.write(b"secret")
    kept = Path(re.findall("'([^']*)'", caught.value.message)[-1])
    try:
        assert kept.read_bytes() == b"secret"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    finally:
        kept.unlink()


def test_content_that_cannot_be_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with new_file(tmp_path / "folder", force=True) as file:
        (tmp_path / "folder" / "full").mkdir(parents=True)
        with pytest.raises(click.ClickException, match="its content is lost"):
            file.write(b"secret")


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    path.write_text("  secret\n")
    assert read_file(path) == "secret"
    path.chmod(0o644)
    with pytest.raises(PermissionError) as caught:
        read_file(path)
    assert f"chmod 600 {path}" in str(caught.value)
    assert read_file(Path("/dev/null")) == ""
    assert len(read_file(Path("/dev/zero"))) == 4096
