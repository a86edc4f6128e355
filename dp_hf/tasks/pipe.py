"""An environment over a pipe: JSON and the bytes of arrays, nothing that could be executed.

As a program it serves an `ObservedEnvironment` over its standard input and output. It stands alone as that does:
another Python runs it, in which dp_hf is not installed.
"""

import importlib.util
import json
import os
import signal
import struct
import sys

import numpy as np

_DTYPES = ("uint8", "float16", "float32", "float64")
_MAX_BYTES = 2**30


def write_message(stream, message):
    """Writes a JSON value, in which arrays may be, with the arrays' bytes behind it."""
    arrays = []

    def plain(value):
        if isinstance(value, np.ndarray):
            arrays.append(np.ascontiguousarray(value))
            return {"array": [str(value.dtype), list(value.shape)]}
        raise TypeError(f"a {type(value).__name__} cannot be sent")

    header = json.dumps(message, default=plain).encode()
    stream.write(struct.pack(">Q", len(header)) + header)
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def read_message(stream):
    """Reads what `write_message` wrote; None at the stream's end.

    Raises:
        ValueError: something else.
    """
    head = stream.read(8)
    if len(head) < 8:
        return None

    def array(value):
        if set(value) != {"array"}:
            return value
        dtype, shape = value["array"]
        if dtype not in _DTYPES or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError(f"no array is {dtype} {shape}")
        data = _read(stream, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return np.frombuffer(bytearray(data), dtype).reshape(shape)

    return json.loads(_read(stream, struct.unpack(">Q", head)[0]), object_hook=array)


def _read(stream, count):
    if count > _MAX_BYTES:
        raise ValueError(f"{count} bytes are more than a message has")
    data = stream.read(count)
    if len(data) < count:
        raise ValueError("a message ended early")
    return data


def serve(requests, answers, observed):
    """Answers requests until they end: {"make": task}, then {"call": method, "with": arguments}.

    Args:
        observed: the module of that name.
    """
    environment = None
    while (request := read_message(requests)) is not None:
        try:
            if "make" in request:
                environment, result = observed.ObservedEnvironment(request["make"]), None
            else:
                result = getattr(environment, request["call"])(*request["with"])
            answer = {"result": result}
        except observed.TaskError as error:
            answer = {"task_error": str(error)}
        except Exception as error:  # of the environment; its traceback goes to standard error
            sys.excepthook(type(error), error, error.__traceback__)
            answer = {"failure": f"{type(error).__name__}: {error}"}
        try:
            write_message(answers, answer)
        except BrokenPipeError:  # whoever asked was interrupted
            answers.raw.close()  # or Python 3.13 says so when it cannot flush what is left
            break
    if environment is not None:
        environment.close()


def main():
    # What the environment prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ends with whoever started it
    file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "observed.py")
    spec = importlib.util.spec_from_file_location("dp_hf_observed", file)
    assert spec is not None
    assert spec.loader is not None
    observed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(observed)
    serve(sys.stdin.buffer, answers, observed)


if __name__ == "__main__":
    main()
