"""Streams that read and write without waiting."""

from __future__ import annotations

from peersockets_trio.runtime.direct import DirectStream
from peersockets_trio.udp import UdxStream


def test_udx_streams_are_direct() -> None:
    assert issubclass(UdxStream, DirectStream)
    assert not getattr(UdxStream, "__abstractmethods__", None)
