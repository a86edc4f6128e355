"""The wire format of ROS 2 messages, plain CDR (OMG XTypes 1.3, section 7.4.1), fast where messages are large.

`cyclonedds` codes a sequence element by element in Python, 20 ms for an image; here a sequence of numbers is one copy.
"""

import struct
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from cyclonedds.idl.types import sequence

_SCALARS = {bool: "?", "uint8": "B", "int32": "i", "uint32": "I", "float64": "d"}
_LITTLE_ENDIAN_CDR = b"\x00\x01\x00\x00"

Message = TypeVar("Message")


def fast_cdr(message_type: type[Message]) -> type[Message]:
    """Class decorator of an `IdlStruct` of scalars, strings, structs, and sequences of these.

    Sequences of numbers may be any buffer or list, and are read as numpy arrays over the received bytes.
    """

    def serialize(self: Message, buffer: Any = None, endianness: Any = None, use_version_2: Any = None) -> bytes:
        """The message in CDR, little-endian, with its four-byte header."""
        message = bytearray(_LITTLE_ENDIAN_CDR)
        _write_struct(message, self)
        return bytes(message)

    def deserialize(data: bytes, has_header: bool = True, use_version_2: Any = None) -> Message:
        """The message in `data`, which starts with the header.

        Raises:
            ValueError: `data` is cut short, or is not such a message.
        """
        return _Reader(data).read_struct(message_type)

    message_type.serialize = serialize  # type: ignore[attr-defined]
    message_type.deserialize = staticmethod(deserialize)  # type: ignore[attr-defined]
    return message_type


@cache
def _fields(message_type: Any) -> list[tuple[str, Any]]:
    """Names and kinds: a struct code, `str`, a struct's class, or a list with the kind of a sequence's elements."""
    return [(name, _kind(hint)) for name, hint in get_type_hints(message_type, include_extras=True).items()]


def _kind(hint: Any) -> Any:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if args := get_args(hint):
        return [_kind(args[1].subtype)] if isinstance(args[1], sequence) else _SCALARS[args[1]]
    return hint


def _write_struct(message: bytearray, value: Any) -> None:
    message_type: Any = type(value)
    for name, kind in _fields(message_type):
        _write(message, kind, getattr(value, name))


def _write(message: bytearray, kind: Any, value: Any) -> None:
    if kind is str:
        text = value.encode()
        _write(message, "I", len(text) + 1)
        message += text + b"\0"
    elif isinstance(kind, str):
        _align(message, struct.calcsize(kind))
        message += struct.pack(f"<{kind}", value)
    elif isinstance(kind, list):
        _write(message, "I", len(value))
        if kind[0] in _SCALARS.values() and len(value):
            _align(message, struct.calcsize(kind[0]))
            array = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)
            message += array.astype(f"<{kind[0]}", copy=False).tobytes()
        else:
            for element in value:
                _write(message, kind[0], element)
    else:
        _write_struct(message, value)


def _align(message: bytearray, size: int) -> None:
    message += bytes(-(len(message) - len(_LITTLE_ENDIAN_CDR)) % size)


class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        if len(data) < 4 or data[0] != 0 or data[1] > 1:
            raise ValueError(f"not plain CDR version 1, which ROS 2 speaks: header {bytes(data[:4])!r}")
        self.order = "<" if data[1] else ">"
        self.position = len(_LITTLE_ENDIAN_CDR)

    def read_struct(self, message_type: type) -> Any:
        return message_type(*[self.read(kind) for _, kind in _fields(message_type)])

    def read(self, kind: Any) -> Any:
        if kind is str:
            length = self.read("I")
            return bytes(self.take(length)[:-1]).decode(errors="replace")
        if isinstance(kind, str):
            self.align(kind)
            return struct.unpack(f"{self.order}{kind}", self.take(struct.calcsize(kind)))[0]
        if isinstance(kind, list):
            length = self.read("I")
            if kind[0] not in _SCALARS.values():
                return [self.read(kind[0]) for _ in range(length)]
            if length:
                self.align(kind[0])
            dtype = np.dtype(f"{self.order}{kind[0]}")
            return np.frombuffer(self.take(length * dtype.itemsize), dtype)
        return self.read_struct(kind)

    def align(self, kind: str) -> None:
        self.position += -(self.position - len(_LITTLE_ENDIAN_CDR)) % struct.calcsize(kind)

    def take(self, size: int) -> memoryview:
        start, self.position = self.position, self.position + size
        if self.position > len(self.data):
            raise ValueError(f"{len(self.data)} bytes where at least {self.position} are needed")
        return memoryview(self.data)[start : self.position]
