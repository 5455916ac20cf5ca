from __future__ import annotations

import pytest

from properties.udx.victim import Victim, make_victim


@pytest.fixture
def victim() -> Victim:
    return make_victim()
