"""Rules for every test: the profile of properties, the order, and that a skipped test fails the run."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import forking
from ordering import module_names, slow_first
from peersockets_trio.runtime import bootstrap as bootstrapping

# A slow or busy machine must not fail a property, so there is no deadline and no health check of the drawing
# time. The health checks of the data (too much filtered, too large) stay on.
settings.register_profile("peersockets", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("peersockets")


# A background job of a shell ignores SIGINT, and so does each process that it starts. Commands that tests
# start must still react to Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of our programs, each of which would load the same packages.
setattr(subprocess, "Popen", forking.Popen)  # noqa: B010

# No test may reach the public nodes of the DHT. By default, commands begin with an address of this machine
# that never answers, and a test that looks up a public node fails.
os.environ["PEERSOCKETS_BOOTSTRAP"] = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_public_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = bootstrapping.resolve

    async def checked(bootstrap: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        nodes = list(bootstrap)
        assert not set(nodes) & set(bootstrapping.PUBLIC_BOOTSTRAP), (
            "a test needs a bootstrap list of its own"
        )
        return await resolve(nodes)

    monkeypatch.setattr(bootstrapping, "resolve", checked)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Let each worker begin with a share of the test modules, before all import all in the same order.

    Pytest compiles each module that it imports for the first time, which takes long, and now happens once.
    Nothing that is imported and collected is garbage, so the garbage collector waits.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    gc.disable()
    if session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        number = int(worker["workerid"].removeprefix("gw"))
        for name in module_names(Path(__file__).parent)[number :: worker["workercount"]]:
            import_module(name)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = slow_first(items, lambda item: item.get_closest_marker("slow") is not None, workers)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Hide the collected tests from the garbage collector: each full pass walked through ten thousand of
    them.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a test was skipped: a green run must mean that everything was checked."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("A skipped test fails the run: this project skips none.", red=True)
