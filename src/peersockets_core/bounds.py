"""Helpers of the classes of limits: the check that every bound passes, their repr, and the units of sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

KIB: Final = 1024
MIB: Final = 1024 * KIB


def positive(limits: str = "limits") -> Callable[[object, attrs.Attribute[Any], float], None]:
    """Return a validator of positive values. It raises `ValueError`, which names `limits` and the field."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if not value > 0:
            raise ValueError(f"{limits}: {attribute.name} must be positive, not {value!r}")

    return validate


def repr_of_changes(limits: attrs.AttrsInstance) -> str:
    """Return the repr of limits without the bounds that have their default values.

    The signatures in the documentation show it; two dozen numbers there would hide the other arguments.
    """
    defaults = type(limits)()
    changed = (
        f"{field.name}={value!r}"
        for field in attrs.fields(type(limits))
        if (value := getattr(limits, field.name)) != getattr(defaults, field.name)
    )
    return f"{type(limits).__name__}({', '.join(changed)})"
