"""Small safetensors files of float32 tensors, read with numpy alone: an arm's own computer has no more."""

import json
import math
import struct
from pathlib import Path

import numpy as np

from dp_hf.errors import UserError
from dp_hf.files import refuse_pointer

LARGEST_HEADER = 2**20  # bytes


def read_float32(file: Path) -> dict[str, np.ndarray]:
    """The float32 tensors of a small safetensors file: a length, a JSON header of that length, the numbers.

    Raises:
        UserError: it is none, is cut, or holds other types.
    """
    refuse_pointer(file)
    try:
        data = file.read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        if length > min(LARGEST_HEADER, len(data) - 8):
            raise ValueError("its header is longer than it")
        header = json.loads(data[8 : 8 + length])
        numbers = memoryview(data)[8 + length :]
        tensors = {name: _tensor(numbers, **entry) for name, entry in header.items() if name != "__metadata__"}
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, RecursionError) as error:
        raise UserError(f"{file}: cut or damaged ({error}); restore it") from error
    return tensors


def _tensor(numbers: memoryview, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    start, end = data_offsets
    if dtype != "F32" or not 0 <= start <= end <= len(numbers) or end - start != 4 * math.prod(shape):
        raise ValueError(f"{dtype} {shape} at {data_offsets}")
    return np.frombuffer(numbers[start:end], "<f4").reshape(shape).astype(np.float32)
