"""`Closing`: the base of everything that is closed at once, by a call or at the end of a block."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import Self

import trio


class Closing(abc.ABC):
    """An async context manager that closes itself at the end."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close it. Closing it twice is fine."""

    async def aclose(self) -> None:
        """Close, and checkpoint."""
        self.close()
        await trio.lowlevel.checkpoint()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
