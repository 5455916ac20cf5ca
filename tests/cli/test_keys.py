"""`peersockets keys`."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from cli.support import COMMAND, KEY, TIME, complaint, parse_lines, run
from peersockets_core import KeyPair

SEED = bytes(range(32))


def shown(key_pair: KeyPair) -> str:
    """Return the lines that show a key pair's public keys."""
    return "".join(f"{wire} {key.hex()}\n" for wire, key in key_pair.public_keys.items())


def test_a_new_file(tmp_path: Path) -> None:
    """It holds a seed that only its owner can read, and `--key-file` accepts it."""
    path = tmp_path / "bot.key"
    done = run("keys", "new", str(path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    seed = path.read_text()
    assert len(seed) == 65
    key_pair = KeyPair(bytes.fromhex(seed))
    assert done.stdout.decode() == f"file {path}\n{shown(key_pair)}"
    assert run("keys", "show", str(path)).stdout == done.stdout
    ready = parse_lines(run("pipe", KEY.url, "--key-file", str(path)).stdout)[0]
    assert ready["publicKeys"] == {wire: key.hex() for wire, key in key_pair.public_keys.items()}


def test_two_new_files_differ(tmp_path: Path) -> None:
    for name in ("one", "other"):
        run("keys", "new", str(tmp_path / name))
    assert (tmp_path / "one").read_text() != (tmp_path / "other").read_text()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_an_existing_file_is_not_overwritten(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if kind == "file":
        path.write_text("precious")
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    text = complaint(run("keys", "new", str(path)), 2 if kind == "folder" else 1)
    assert str(path) in text
    assert not (tmp_path / "elsewhere").exists()
    if kind == "file":
        assert "--force replaces it" in text
        assert path.read_text() == "precious"


def test_a_missing_folder(tmp_path: Path) -> None:
    text = complaint(run("keys", "new", str(tmp_path / "no" / "key")), 1)
    assert "No such file" in text


def test_the_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    missing = tmp_path / "settings" / "peersockets" / "key"
    text = complaint(run("keys", "show"), 2)
    assert text.endswith(f"No such file or directory; `peersockets keys new {missing}` makes one\n")
    done = run("keys", "new")
    (path,) = tmp_path.rglob("key")
    assert done.stdout.startswith(f"file {path}\n".encode())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert run("keys", "show").stdout == done.stdout
    complaint(run("keys", "new"), 1)


def test_the_keys_of_a_seed_are_shown() -> None:
    done = run("keys", "show", "--seed", SEED.hex())
    assert done.returncode == 0
    assert done.stderr.startswith(b"peersockets: warning: ps shows --seed ")
    assert done.stdout.decode() == shown(KeyPair(SEED))


@pytest.mark.parametrize("arguments", [["keys", "show"], ["pipe", KEY.url, "--key-file"]])
def test_a_file_that_others_can_use_is_refused(arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "my key"
    path.write_text(SEED.hex())
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        text = complaint(run(*arguments, str(path)), 2)
        assert f"(mode {mode:04o}); correct it with: chmod 600 '{path}'" in text
    mended = text.rpartition(": ")[2]
    subprocess.run(mended, shell=True, check=True)
    assert run(*arguments, str(path)).returncode == 0
    os.chmod(path, 0o400)
    assert run(*arguments, str(path)).stderr == b""


def test_no_home(tmp_path: Path) -> None:
    """A container may have this, where the user is a mere number."""
    command = ("unshare", "-U", "--map-user=12345", "--map-group=12345", "env", "-i", *COMMAND)
    for arguments in (["new"], ["show"]):
        done = subprocess.run(
            (*command, "keys", *arguments), cwd=tmp_path, capture_output=True, timeout=TIME, check=False
        )
        assert "HOME is not set: give FILE" in complaint(done, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_new_identity_by_force(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("precious")
    assert "--force" in complaint(run("keys", "new", str(path)), 1)
    assert run("keys", "new", str(path), "--force").returncode == 0
    assert len(path.read_text()) == 65
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["show", "/dev/null"], "must hold 64 hex digits"),
        (["show", "/nonexistent"], "No such file"),
        (["show", "--seed", "xyz"], "64 hex digits"),
        (["show", "/dev/null", "--seed", "00" * 32], "exclude each other"),
        (["show", "one", "two"], "two"),
        (["burn"], "burn"),
    ],
)
def test_bad_usage(arguments: list[str], text: str) -> None:
    done = run("keys", *arguments)
    assert text in complaint(done, 2)
    assert done.stdout == b""
