"""The wheel, in an empty environment."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import peersockets_core
from cli.support import run

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as a release builds it: from the sdist, which is beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    _check(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (wheel,) = folder.glob("peersockets-*.whl")
    return wheel


@pytest.fixture(scope="module")
def base(wheel: Path) -> Path:
    """The folder of commands of an environment that has only the wheel and its dependencies."""
    return _environment(wheel, "")


@pytest.fixture(scope="module")
def with_trio(wheel: Path) -> Path:
    return _environment(wheel, "[trio]")


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder of commands of an environment with the command line."""
    return _environment(wheel, "[cli]")


def _environment(wheel: Path, extra: str) -> Path:
    environment = wheel.parent / f"environment{extra}".replace("[", "-").replace("]", "")
    venv.create(environment)
    commands = environment / "bin"
    _check(*PIP, "--python", str(commands / "python"), "install", "--no-compile", f"{wheel}{extra}")
    return commands


def _run(commands: Path, code: str) -> tuple[int, str]:
    done = run("-c", code, command=(str(commands / "python"), "-I"))
    return done.returncode, (done.stdout + done.stderr).decode()


def _check(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()


def test_the_core_needs_no_extra(base: Path) -> None:
    code = "import peersockets_core as c, sys; assert 'trio' not in sys.modules; print(c.__version__)"
    assert _run(base, code) == (0, f"{peersockets_core.__version__}\n")


def test_the_adapter_names_its_extra(base: Path) -> None:
    status, printed = _run(base, "import peersockets_trio")
    assert status == 1
    assert printed.endswith("\nImportError: peersockets_trio needs Trio: pip install 'peersockets[trio]'\n")


@pytest.mark.parametrize(("extra", "missing"), [("base", "trio"), ("with_trio", "click")])
def test_the_command_names_its_extra(extra: str, missing: str, request: pytest.FixtureRequest) -> None:
    done = run("demo", command=(str(request.getfixturevalue(extra) / "peersockets"),))
    said = f"peersockets: the command line needs {missing}: pip install 'peersockets[cli]'\n"
    assert (done.returncode, done.stdout, done.stderr.decode()) == (1, b"", said)


def test_the_adapter_works_without_the_command_line(with_trio: Path) -> None:
    code = "import peersockets_trio as t, sys; assert 'click' not in sys.modules; print(t.__version__)"
    assert _run(with_trio, code) == (0, f"{peersockets_core.__version__}\n")


def test_an_index_shows_no_link_to_a_file_beside_the_readme(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = archive.read(name).decode()
    assert "# peersockets" in metadata
    links = re.findall(r"\]\(([^)]*)\)", metadata)
    assert links
    assert all(link.startswith("https://") for link in links)


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


def test_the_package_is_typed(installed: Path) -> None:
    code = "import peersockets_core as c, peersockets_trio as t; print(c.__file__, t.__file__, sep='\\n')"
    done = run("-c", code, command=(str(installed / "python"), "-I"))
    for line in done.stdout.decode().splitlines():
        module = Path(line)
        assert installed.parent in module.parents
        assert (module.parent / "py.typed").exists()


def test_it_has_every_file_of_the_source(wheel: Path) -> None:
    source = ROOT / "src"
    files = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and ".egg-info" not in str(path)
    }
    with zipfile.ZipFile(wheel) as packed:
        assert files - set(packed.namelist()) == set()
    assert "peersockets_trio/browser/site/index.html" in files


def test_serve_names_its_extra(installed: Path) -> None:
    done = run("serve", "33" * 32, "--no-swarm", command=(str(installed / "peersockets"),))
    assert done.returncode == 1
    assert done.stderr == b"peersockets: serve needs websockets: pip install 'peersockets[serve]'\n"
