"""`positive`: the check that every bound of a `Limits` passes; and the units in which sizes are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

KIB: Final = 1024
MIB: Final = 1024 * KIB


def positive(limits: str = "limits") -> Callable[[object, attrs.Attribute[Any], float], None]:
    """Return a validator that raises `ValueError`, naming `limits` and the field, unless it is positive."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if not value > 0:
            raise ValueError(f"{limits}: {attribute.name} must be positive, not {value!r}")

    return validate
