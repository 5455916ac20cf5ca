"""The fixture that the tests of the machine share."""

from __future__ import annotations

import pytest

from core.topics.support import WIRES, Meeting


@pytest.fixture(params=WIRES)
def meeting(request: pytest.FixtureRequest) -> Meeting:
    return Meeting(wire=request.param)
