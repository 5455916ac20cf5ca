"""`Secret`: bytes that a program can use, but that no output shows by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex, overload

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Secret(bytes):
    """Bytes that give power to everyone who reads them, such as a drive key or a seed.

    They work wherever bytes do, but `str`, `repr` and `format` only show their size. No log line, error
    text, traceback or debugger view therefore contains them, unless the program asks for them:
    `secret.hex()` and `bytes(secret)` return the real bytes. A slice or a concatenation is a secret, too.
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
    """Make a field's value a secret. A value that is not bytes stays unchanged, so that the field's validator
    can refuse it.
    """
    return Secret(value) if isinstance(value, bytes) else value
