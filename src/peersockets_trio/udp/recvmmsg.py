"""`Batches`: reads many datagrams in one system call, recvmmsg(2) of Linux.

Python has no such function, so this module calls the C library's. libudx acknowledges each packet in a
datagram of its own, and reading these one by one takes a sender longer than sending.
"""

from __future__ import annotations

import copy
import ctypes
import errno
import mmap
import socket
import struct
import sys
from functools import lru_cache
from typing import Any, Final

from peersockets_core.udx import Address

from .readers import LARGEST, TURN_BYTES, UDP_GRO, Receive

_SLOTS: Final = 64
"""The most datagrams in one call: as many as a sender puts into one run. Each has a slot for the largest
datagram; only the parts of a slot that were used take memory."""
_LARGE_SLOTS: Final = 8
"""The most while datagrams are large, so that a call does not exceed a turn."""
_CALLS: Final = 8
"""The most calls in one turn."""
_NAME: Final = 28  # bytes of the larger kind of address, sockaddr_in6
_CONTROL: Final = 64  # bytes of control data: one integer and its header
_CONTROL_DATA: Final = struct.Struct("N i i i")  # length, level, kind, and the value of UDP_GRO
_WORD: Final = 4


class _Vector(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):
    """`struct mmsghdr`."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("_end", ctypes.c_void_p * 0),
        ("length", ctypes.c_uint),
    ]


def find() -> Any:
    """Return Linux's recvmmsg, or None if the system is another or has none."""
    if sys.platform != "linux":  # FreeBSD's takes other structures
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).recvmmsg
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
    function.restype = ctypes.c_int
    return function


CALL: Final = find()
"""The function, or None."""
AVAILABLE: Final = CALL is not None
"""Whether this system can read many datagrams in one call."""


class Batches:
    """Reads up to 64 datagrams in a call, and gathers runs."""

    def __init__(self, sock: socket.socket) -> None:
        self._descriptor = sock.fileno()
        data = mmap.mmap(-1, _SLOTS * LARGEST)  # unlike those of a bytearray, its pages take no memory yet
        self._names, self._control = bytearray(_SLOTS * _NAME), bytearray(_SLOTS * _CONTROL)
        view = memoryview(data)
        self._slots = [view[LARGEST * index : LARGEST * (index + 1)] for index in range(_SLOTS)]
        vectors, messages = (_Vector * _SLOTS)(), (_Message * _SLOTS)()
        data_at, names_at, control_at = (_address_of(each) for each in (data, self._names, self._control))
        for index in range(_SLOTS):
            vectors[index] = _Vector(data_at + LARGEST * index, LARGEST)
            messages[index] = _Message(
                names_at + _NAME * index,
                _NAME,
                ctypes.addressof(vectors) + ctypes.sizeof(_Vector) * index,
                1,
                control_at + _CONTROL * index,
                _CONTROL,
            )
        self._vectors, self._at = vectors, ctypes.addressof(messages)
        self._messages = memoryview(messages).cast("B")
        self._fresh = bytes(messages)  # the call changes lengths, which have to be set again
        self._words, self._sizes = self._messages.cast("I"), self._messages.cast("P")
        self._most = _SLOTS  # in the next call

    def of(self, sock: socket.socket) -> Batches:
        """See `DatagramReader`."""
        other = copy.copy(self)
        other._descriptor = sock.fileno()
        return other

    def read(self, receive: Receive) -> bool:
        """See `DatagramReader`."""
        total = 0
        for _ in range(_CALLS):
            self._messages[:] = self._fresh
            count = CALL(self._descriptor, self._at, self._most, socket.MSG_DONTWAIT, None)
            if count < 0:
                if ctypes.get_errno() == errno.EAGAIN:
                    return False
                continue  # an error of a datagram that was sent earlier
            size = self._hand_over(count, receive)
            complete = count < self._most
            if size > LARGEST:
                self._most = _LARGE_SLOTS
            elif not complete:
                self._most = _SLOTS
            if complete:
                return False
            total += size
            if total >= TURN_BYTES:
                break
        return True

    def _hand_over(self, count: int, receive: Receive) -> int:
        """Pass `count` datagrams to `receive` in runs; returns the number of their bytes."""
        names, slots = self._names, self._slots
        if count == 1:
            length: int = self._words[_LENGTH]
            size = (self._sizes[_CONTROL_LENGTH] and self._segment_size(0)) or length
            receive(slots[0][:length], size, _source(bytes(names[:_NAME])))
            return length
        lengths: list[int] = self._words[_LENGTH : _STRIDE * count : _STRIDE].tolist()
        controls: list[int] = self._sizes[_CONTROL_LENGTH : _SIZES * count : _SIZES].tolist()
        run: list[memoryview] = []
        size, name = 0, b""
        for index, length in enumerate(lengths):
            this = bytes(names[_NAME * index : _NAME * (index + 1)])
            segment = self._segment_size(index) if controls[index] else 0
            if run and (length > size or this != name or segment):
                _pass_on(run, size, name, receive)
                run = []
            if not run:
                size, name = segment or length, this
            run.append(slots[index][:length])
            if length < size or segment or not length:  # the run is complete
                _pass_on(run, size, name, receive)
                run = []
        if run:
            _pass_on(run, size, name, receive)
        return sum(lengths)

    def _segment_size(self, index: int) -> int:
        _, level, kind, value = _CONTROL_DATA.unpack_from(self._control, _CONTROL * index)
        return value if level == socket.IPPROTO_UDP and kind == UDP_GRO else 0


_LENGTH: Final = _Message.length.offset // _WORD
_STRIDE: Final = ctypes.sizeof(_Message) // _WORD
_CONTROL_LENGTH: Final = _Message.control_length.offset // ctypes.sizeof(ctypes.c_size_t)
_SIZES: Final = ctypes.sizeof(_Message) // ctypes.sizeof(ctypes.c_size_t)


def _address_of(data: bytearray | mmap.mmap) -> int:
    """Return where the bytes are in memory; they stay there because nobody changes the length."""
    return ctypes.addressof((ctypes.c_char * len(data)).from_buffer(data))


def _pass_on(run: list[memoryview], size: int, name: bytes, receive: Receive) -> None:
    receive(run[0] if len(run) == 1 else memoryview(b"".join(run)), size, _source(name))


@lru_cache(maxsize=256)  # bounded, because strangers choose their addresses
def _source(name: bytes) -> Address:
    """Return the address in a `sockaddr`."""
    family = int.from_bytes(name[:2], sys.byteorder)
    port = int.from_bytes(name[2:4], "big")
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, name[8:24]), port
    return socket.inet_ntop(family, name[4:8]), port
