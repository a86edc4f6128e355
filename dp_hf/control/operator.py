"""The person beside the arm: keys in the terminal, and Ctrl-C or `kill`."""

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator

from dp_hf.errors import RunFailed


class Keyboard:
    """Context manager: single keys of the terminal, without waiting for Enter. Without a terminal there are none."""

    def __enter__(self) -> "Keyboard":
        self._terminal = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        if self._terminal is not None:
            self._settings = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)
        return self

    def __exit__(self, *exception) -> None:
        if self._terminal is not None:
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._settings)

    @property
    def is_there(self) -> bool:
        """Whether there is a terminal."""
        return self._terminal is not None

    def wait(self) -> str:
        """The next key, however long it takes.

        Raises:
            RunFailed: there is no terminal, or it was closed.
        """
        key = b""
        with contextlib.suppress(OSError):
            key = b"" if self._terminal is None else os.read(self._terminal, 1)
        if not key:
            raise RunFailed("the terminal was closed")
        return key.decode(errors="replace")

    def pressed(self) -> str | None:
        """The next key that was pressed, or None; never waits."""
        if self._terminal is None or not select.select([self._terminal], [], [], 0)[0]:
            return None
        return os.read(self._terminal, 1).decode(errors="replace") or None


@contextlib.contextmanager
def on_signals(stop: Callable[[str], None]) -> Iterator[None]:
    """Calls `stop` with the signal's name at SIGINT (Ctrl-C), SIGTERM (kill) and SIGHUP (a closed terminal)."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda received, frame: stop(signal.Signals(received).name))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
