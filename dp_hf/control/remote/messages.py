"""What server and client say: MessagePack maps, with arrays of two kinds of numbers and nothing executable."""

from typing import Any

import msgpack
import numpy as np

PROTOCOL_VERSION = 3  # a request has a prefix
MAX_MESSAGE_BYTES = 64 * 2**20
# Of a map or list, and of maps and lists in a message: more than any policy has numbers, cameras or observations.
MAX_LENGTH = 1024
MAX_CONTAINERS = 4096
MAX_TEXT_BYTES = 64 * 2**10
_DTYPES = ("uint8", "float32")


def pack(message: dict[str, Any]) -> bytes:
    """A map of numbers, texts, lists, maps and arrays."""
    return msgpack.packb(message, default=_encode_array)


def unpack(data: bytes | str) -> dict[str, Any]:
    """The map in `data`.

    Raises:
        ValueError: not such a map, or longer lists, maps and texts than there can be.
    """
    if not isinstance(data, bytes):
        raise ValueError("a message is binary, not text")
    num_containers = 0

    def count(container: Any) -> Any:
        nonlocal num_containers
        num_containers += 1
        if num_containers > MAX_CONTAINERS:
            raise ValueError(f"a message holds at most {MAX_CONTAINERS} lists and maps")
        return _decode_array(container) if isinstance(container, dict) else container

    try:
        message = msgpack.unpackb(
            data,
            object_hook=count,
            list_hook=count,
            strict_map_key=True,
            max_array_len=MAX_LENGTH,
            max_map_len=MAX_LENGTH,
            max_str_len=MAX_TEXT_BYTES,
        )
    except ValueError:
        raise
    except Exception as error:  # msgpack's own are of several kinds
        raise ValueError(f"not MessagePack: {error!r}") from error
    if not isinstance(message, dict):
        raise ValueError(f"a message is a map, not {type(message).__name__}")
    return message


def _encode_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "shape": list(value.shape), "data": value.tobytes()}
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _decode_array(value: dict[str, Any]) -> Any:
    if value.keys() != {"dtype", "shape", "data"}:
        return value
    dtype, shape, data = value["dtype"], value["shape"], value["data"]
    if dtype not in _DTYPES or not isinstance(data, bytes):
        raise ValueError(f"an array holds bytes of {' or '.join(_DTYPES)}, not {type(data).__name__} of {dtype}")
    if not isinstance(shape, list) or not all(isinstance(size, int) and size >= 0 for size in shape) or len(shape) > 4:
        raise ValueError(f"{shape} is no array's shape")
    return np.frombuffer(bytearray(data), dtype).reshape(shape)
