"""`NatSampler`: finds our own address as others see it, from the samples that responses carry.

Source: nat-sampler (npm), as dht-rpc 6.27.0 uses it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from ...address import SocketAddress

_MOST_SAMPLES: Final = 16


class NatSampler:
    """Finds the host that most of the last samples agree on, and the port if it is the same for all
    remotes.
    """

    def __init__(self) -> None:
        self.host: str | None = None
        """Our public host, or None while the samples differ."""
        self.port = 0
        """Our public port, or 0 while it is unknown or differs from one remote to another."""
        self._samples: OrderedDict[str | int, SocketAddress] = OrderedDict()
        self._count = 0

    def add(self, address: SocketAddress, witness: str | None = None) -> None:
        """Take in our address as one remote sees it. Each `witness` has one sample, its latest one."""
        self._count += 1
        key = self._count if witness is None else witness
        self._samples.pop(key, None)
        self._samples[key] = address
        if len(self._samples) > _MOST_SAMPLES:
            self._samples.popitem(last=False)
        wanted = self._agreement()
        (host_and_port, agreeing), *_ = Counter(self._samples.values()).most_common(1)
        (host, agreeing_hosts), *_ = Counter(host for host, _ in self._samples.values()).most_common(1)
        self.host, self.port = None, 0
        if agreeing >= wanted:
            self.host, self.port = host_and_port
        elif agreeing_hosts >= wanted:
            self.host = host

    @property
    def count(self) -> int:
        """The number of samples so far."""
        return self._count

    def _agreement(self) -> int:
        """Return how many samples have to agree: all of up to three, and up to three fewer of a larger
        number.
        """
        size = len(self._samples)
        return size - (0 if size < 4 else 1 if size < 8 else 2 if size < 12 else 3)
