"""Processes of this machine, each with one item at a time; a new one takes the place of one that dies."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

from dp_hf.workers.workers import Setup, WorkerDied


class Processes:
    """An `Engine` of so many processes.

    Each is a pool of its own: a pool whose process dies gives up all that it was given, and does not tell which item it
    was that ended it.
    """

    def __init__(self, number: int, setup: Setup):
        self.number, self.setup = number, setup
        self._idle: list[ProcessPoolExecutor] = []
        self._all: set[ProcessPoolExecutor] = set()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *exception) -> None:
        for pool in [*self._all]:
            pool.shutdown()  # what was begun finishes, each in its process

    def capacity(self) -> int:
        return self.number

    def submit(self, item: object) -> Future:
        pool = self._idle.pop() if self._idle else self._start()
        outer: Future = Future()
        outer.set_running_or_notify_cancel()
        try:
            inner = pool.submit(_work, item)
        except BrokenProcessPool as error:  # it died while it had nothing to do
            self._all.discard(pool)
            outer.set_exception(WorkerDied(str(error)))
            return outer
        inner.add_done_callback(lambda inner: self._finish(pool, inner, outer))
        return outer

    def require_alive(self) -> None:
        """They are: what ends one is seen at once."""

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, because OpenGL contexts and torch's threads do not survive a fork.
        pool = ProcessPoolExecutor(1, get_context("spawn"), _initialize, (self.setup,))
        self._all.add(pool)
        return pool

    def _finish(self, pool: ProcessPoolExecutor, inner: Future, outer: Future) -> None:
        if inner.cancelled():
            outer.set_exception(WorkerDied("not begun"))
        elif isinstance(error := inner.exception(), BrokenProcessPool):
            self._all.discard(pool)
            outer.set_exception(WorkerDied(str(error)))
        else:
            self._idle.append(pool)
            if error is not None:
                outer.set_exception(error)
            else:
                outer.set_result(inner.result())


_worker: dict[str, Any] = {}


def _initialize(setup: Callable) -> None:
    _worker["setup"] = setup
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C lets what has been begun finish, so that no episode is left half recorded.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work_on_one_thread()


def work_on_one_thread() -> None:
    """The processes share the cores: each computes and renders on one thread."""
    os.environ.update(OMP_NUM_THREADS="1", LP_NUM_THREADS="0")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _end_with_parent() -> None:
    """Without it, the worker of a process that was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(item: Any) -> Any:
    if "function" not in _worker:
        _worker["function"] = _worker["setup"]()
    return _worker["function"](item)
