"""Tests of real NATs have a bounded time, like those with real peers."""

from interop.conftest import pytest_itemcollected

__all__ = ["pytest_itemcollected"]
