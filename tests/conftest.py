"""What holds for every test: how properties are tried, and that a run which skips a test fails."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# A slow or busy machine must not fail a property: no deadline, and no health check of the time that drawing
# takes. The health checks of the data drawn (too much filtered, too large) stay on.
settings.register_profile("peersockets", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("peersockets")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a test was skipped: the other results would say more than has been checked."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("A skipped test fails the run: this project skips none.", red=True)
