"""The time of tests of real NATs is bounded, like that of tests with real peers."""

from interop.conftest import pytest_itemcollected

__all__ = ["pytest_itemcollected"]
