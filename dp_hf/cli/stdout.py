"""Standard output whose reader may leave, as `dp-hf ... | head` does."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any


@contextmanager
def while_somebody_reads() -> Iterator[None]:
    """Standard output goes nowhere once its reader has left, so that the work is done to its end all the same."""
    stdout: Any = _Stdout(sys.stdout)
    with redirect_stdout(stdout):
        try:
            yield
        finally:
            stdout.flush()


class _Stdout:
    def __init__(self, stream: Any):
        self.stream = stream

    def write(self, text: str) -> int:
        return self._or_nowhere(self.stream.write, text) or 0

    def flush(self) -> None:
        self._or_nowhere(self.stream.flush)

    def _or_nowhere(self, call: Callable, *args: Any) -> Any:
        try:
            return call(*args)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
