"""`Secret`: bytes that a program can use and that no output shows by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex, overload

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Secret(bytes):
    """Bytes that grant something to everyone who reads them, such as a drive key or a seed.

    They work wherever bytes do, but `str`, `repr` and `format` show their size only. So no log line, error
    text, traceback or debugger view contains them, unless the program asks for them: `secret.hex()` and
    `bytes(secret)` return them as they are. A slice or a concatenation is a secret as well.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<secret of {len(self)} bytes>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __add__(self, other: ReadableBuffer) -> Secret:
        return Secret(bytes.__add__(self, other))

    def __radd__(self, other: ReadableBuffer) -> Secret:
        return Secret(bytes(other) + bytes(self))

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Secret: ...
    def __getitem__(self, index: SupportsIndex | slice) -> int | Secret:
        part = bytes.__getitem__(self, index)
        return Secret(part) if isinstance(part, bytes) else part


def as_secret(value: bytes) -> Secret:
    """Make a field's value a secret; what is no bytes stays as it is, for the field's validator to refuse."""
    return Secret(value) if isinstance(value, bytes) else value
