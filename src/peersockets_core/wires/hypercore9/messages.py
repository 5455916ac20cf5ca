"""The protobuf messages of the wire and their codec.

Each message is a class whose fields carry their number and kind. The codec reads these, so the classes
are the schema, and no code is generated. Source: simple-hypercore-protocol 2.1.2, schema.proto.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

import attrs

from ...errors import RemoteProtocolError
from ...secret import Secret
from ...work import FIELD, Work
from . import varint

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


@attrs.frozen
class FieldType:
    """The encoding of a field's value."""

    wire_type: int
    encode: Callable[[Any], bytes]
    decode_untrusted: Callable[[Any], Any]


def _decode_text_untrusted(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("protobuf: a string is not UTF-8") from error


BYTES: Final = FieldType(_DELIMITED, bytes, bytes)
STRING: Final = FieldType(_DELIMITED, str.encode, _decode_text_untrusted)
UINT64: Final = FieldType(_VARINT, varint.encode, int)
BOOL: Final = FieldType(_VARINT, lambda value: varint.encode(int(value)), bool)


def _required(number: int, kind: FieldType) -> Any:
    return attrs.field(metadata={"number": number, "kind": kind})


def _optional(number: int, kind: FieldType, default: object = None, *, secret: bool = False) -> Any:
    converter = attrs.converters.optional(Secret) if secret else None
    return attrs.field(default=default, converter=converter, metadata={"number": number, "kind": kind})


def _repeated(number: int, kind: FieldType) -> Any:
    return attrs.field(factory=list, metadata={"number": number, "kind": kind, "repeated": True})


@attrs.frozen
class NoisePayload:
    """The payload of every handshake message: the nonce of the sender's XSalsa20 stream."""

    nonce: bytes = _required(1, BYTES)


@attrs.frozen
class Open:
    """Type 0: the sender has opened a channel for a core."""

    discovery_key: bytes = _required(1, BYTES)
    capability: bytes | None = _optional(2, BYTES, secret=True)


@attrs.frozen
class Options:
    """Type 1: the names of the sender's extensions. The id of an extension message is an index into them."""

    extensions: list[str] = _repeated(1, STRING)
    ack: bool | None = _optional(2, BOOL)


@attrs.frozen
class Status:
    """Type 2: whether the sender uploads and downloads data; both values hold until the next Status."""

    uploading: bool | None = _optional(1, BOOL)
    downloading: bool | None = _optional(2, BOOL)


@attrs.frozen
class Have:
    """Type 3: blocks that the sender has."""

    start: int = _required(1, UINT64)
    length: int = _optional(2, UINT64, 1)
    bitfield: bytes | None = _optional(3, BYTES)
    ack: bool | None = _optional(4, BOOL)


@attrs.frozen
class Unhave:
    """Type 4: blocks that the sender no longer has."""

    start: int = _required(1, UINT64)
    length: int = _optional(2, UINT64, 1)


@attrs.frozen
class Want:
    """Type 5: a range about which the sender wants Have messages."""

    start: int = _required(1, UINT64)
    length: int | None = _optional(2, UINT64)


@attrs.frozen
class Unwant:
    """Type 6: a range about which the sender no longer wants Have messages."""

    start: int = _required(1, UINT64)
    length: int | None = _optional(2, UINT64)


@attrs.frozen
class Request:
    """Type 7: a request for a block."""

    index: int = _required(1, UINT64)
    bytes: int | None = _optional(2, UINT64)
    hash: bool | None = _optional(3, BOOL)
    nodes: int | None = _optional(4, UINT64)


@attrs.frozen
class Cancel:
    """Type 8: the withdrawal of a request."""

    index: int = _required(1, UINT64)
    bytes: int | None = _optional(2, UINT64)
    hash: bool | None = _optional(3, BOOL)


@attrs.frozen
class Data:
    """Type 9: a block and its proof. The nodes stay encoded, because a peer without data does not use
    them.
    """

    index: int = _required(1, UINT64)
    value: bytes | None = _optional(2, BYTES)
    nodes: list[bytes] = _repeated(3, BYTES)
    signature: bytes | None = _optional(4, BYTES)


@attrs.frozen
class Close:
    """Type 10: the end of a channel, or, with a discovery key, the refusal to open one."""

    discovery_key: bytes | None = _optional(1, BYTES)


ChannelMessage = Open | Options | Status | Have | Unhave | Want | Unwant | Request | Cancel | Data | Close

TYPES: Final[tuple[type[ChannelMessage], ...]] = (
    Open, Options, Status, Have, Unhave, Want, Unwant, Request, Cancel, Data, Close,
)  # fmt: skip
"""The message classes by type number."""

EXTENSION_TYPE = 15
"""The type of extension messages, whose body is not protobuf. Types 11 to 14 are unassigned and ignored."""

_AnyMessage = TypeVar("_AnyMessage", bound="ChannelMessage | NoisePayload")


def _table(message_class: type[Any]) -> tuple[tuple[str, int, FieldType, bool], ...]:
    return tuple(
        (field.name, field.metadata["number"], field.metadata["kind"], "repeated" in field.metadata)
        for field in attrs.fields(message_class)
    )


_CODED: tuple[type[Any], ...] = (NoisePayload, *TYPES)
_TABLES = {message_class: _table(message_class) for message_class in _CODED}
_BY_NUMBER = {
    message_class: {number: (name, kind, repeated) for name, number, kind, repeated in table}
    for message_class, table in _TABLES.items()
}
_REQUIRED = {
    message_class: [field.name for field in attrs.fields(message_class) if field.default is attrs.NOTHING]
    for message_class in _CODED
}


def encode(message: ChannelMessage | NoisePayload) -> bytes:
    """Return the body of a message: its fields in the order of their numbers, without absent ones."""
    encoded: list[bytes] = []
    for name, number, kind, repeated in _TABLES[type(message)]:
        value = getattr(message, name)
        for item in value if repeated else () if value is None else (value,):
            data = kind.encode(item)
            size = varint.encode(len(data)) if kind.wire_type == _DELIMITED else b""
            encoded += (varint.encode(number << 3 | kind.wire_type), size, data)
    return b"".join(encoded)


def decode_untrusted(
    message_class: type[_AnyMessage], body: bytes, *, max_items: int | None = None
) -> _AnyMessage:
    """Decode the whole body of a message. Raises only `RemoteProtocolError`, as `Decoder` does."""
    message = Decoder(message_class, body, max_items=max_items).go_on_untrusted(Work())
    assert message is not None
    return message


class Decoder(Generic[_AnyMessage]):
    """Decodes a message's body. It skips unknown fields; if a field occurs twice, the last value counts."""

    __slots__ = (
        "_body_size",
        "_fields",
        "_max_items",
        "_max_size",
        "_message_class",
        "_table",
        "_values",
        "items_size",
    )

    def __init__(
        self,
        message_class: type[_AnyMessage],
        body: bytes,
        *,
        max_items: int | None = None,
        max_size: float = math.inf,
    ) -> None:
        """Begin. One list may have at most `max_items` items, and all lists may take `max_size` bytes of
        memory.
        """
        self.items_size = 0
        """Bytes of memory that the items of lists take; this can be four times their size on the wire."""
        self._body_size = len(body)
        self._max_size = max_size
        self._message_class = message_class
        self._max_items = max_items
        self._table = _BY_NUMBER[message_class]
        self._fields = _fields_untrusted(body)
        self._values: dict[str, Any] = {}

    @property
    def kept(self) -> int:
        """Bytes of memory that the message takes while it is being decoded."""
        return self._body_size + self.items_size

    def go_on_untrusted(self, work: Work) -> _AnyMessage | None:
        """Decode as many fields as the work allows; returns the message once it is complete.

        Raises only `RemoteProtocolError`: for a body that is not protobuf, a field of the wrong type, a
        missing required field, or a list with too many or too large items.
        """
        for number, wire_type, value in self._fields:
            if number in self._table:
                self._take_untrusted(*self._table[number], wire_type, value)
            work.left -= FIELD
            if work.left <= 0:
                return None
        for name in _REQUIRED[self._message_class]:
            if name not in self._values:
                raise RemoteProtocolError(f"protobuf: {self._message_class.__name__} without {name}")
        return self._message_class(**self._values)

    def _take_untrusted(
        self, name: str, kind: FieldType, repeated: bool, wire_type: int, value: int | bytes
    ) -> None:
        if wire_type != kind.wire_type:
            raise RemoteProtocolError(
                f"protobuf: {self._message_class.__name__}.{name} has wire type {wire_type}"
            )
        if not repeated:
            self._values[name] = kind.decode_untrusted(value)
            return
        items = self._values.setdefault(name, [])
        if len(items) == self._max_items:
            raise RemoteProtocolError(
                f"{self._message_class.__name__}.{name}: more than {self._max_items} items"
            )
        items.append(kind.decode_untrusted(value))
        self.items_size += sys.getsizeof(items[-1])
        if self.items_size > self._max_size:
            raise RemoteProtocolError(
                f"{self._message_class.__name__}.{name}: more than {self._max_size} bytes of memory"
            )


def _fields_untrusted(body: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield the number, wire type and value of each field. Raises only `RemoteProtocolError`."""
    position = 0
    while position < len(body):
        tag, position = _varint_untrusted(body, position)
        number, wire_type = tag >> 3, tag & 7
        value, position = _value_untrusted(body, position, wire_type)
        yield number, wire_type, value


def _varint_untrusted(body: bytes, position: int) -> tuple[int, int]:
    # protobuf allows varints of ten bytes, but a real peer only writes numbers that JavaScript can hold.
    decoded = varint.decode_untrusted(body, position)
    if decoded is None:
        raise RemoteProtocolError("protobuf: the message ends within a number")
    return decoded


def _value_untrusted(body: bytes, position: int, wire_type: int) -> tuple[int | bytes, int]:
    if wire_type == _VARINT:
        return _varint_untrusted(body, position)
    if wire_type == _DELIMITED:
        size, position = _varint_untrusted(body, position)
    elif wire_type in _FIXED_SIZES:
        size = _FIXED_SIZES[wire_type]
    else:
        raise RemoteProtocolError(f"protobuf: unknown wire type {wire_type}")
    end = position + size
    if end > len(body):
        raise RemoteProtocolError("protobuf: the message ends within a field")
    return body[position:end], end
