"""Standard output of commands: its reader may leave, as that of `dp-hf ... | head` does."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any


@contextmanager
def while_somebody_reads(clean: Callable[[str], str] = str) -> Iterator[None]:
    """Standard output goes nowhere once its reader has left, so that the work is done to its end all the same.

    Args:
        clean: what is done with each text that is written.
    """
    stdout: Any = _Stdout(sys.stdout, clean)
    with redirect_stdout(stdout):
        try:
            yield
        finally:
            stdout.flush()


class _Stdout:
    def __init__(self, stream: Any, clean: Callable[[str], str]):
        self.stream = stream
        self.clean = clean

    def write(self, text: str) -> int:
        self._or_nowhere(self.stream.write, self.clean(text))
        return len(text)

    def flush(self) -> None:
        self._or_nowhere(self.stream.flush)

    def _or_nowhere(self, call: Callable, *args: Any) -> Any:
        try:
            return call(*args)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
            if not isinstance(error, BrokenPipeError):
                error.filename = "standard output"
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
