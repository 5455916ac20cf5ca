"""The wheel, in an empty environment."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from cli.support import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that has nothing but the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    _check(*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("peersockets-*.whl")
    environment = folder / "environment"
    venv.create(environment)
    commands = environment / "bin"
    _check(*pip, "--python", str(commands / "python"), "install", str(wheel))
    return commands


def _check(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()


def test_help(installed: Path) -> None:
    done = run("--help", command=(str(installed / "peersockets"),))
    assert done.returncode == 0
    assert b"demo" in done.stdout
    assert b"pipe" in done.stdout


def test_version(installed: Path) -> None:
    done = run("--version", command=(str(installed / "peersockets"),))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"peersockets 0.")


def test_demo(installed: Path) -> None:
    done = run("demo", command=(str(installed / "peersockets"),))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"It works.\n")


def test_it_is_typed(installed: Path) -> None:
    code = "import peersockets_core as c, peersockets_trio as t; print(c.__file__, t.__file__, sep='\\n')"
    done = run("-c", code, command=(str(installed / "python"), "-I"))
    for line in done.stdout.decode().splitlines():
        module = Path(line)
        assert installed.parent in module.parents
        assert (module.parent / "py.typed").exists()
