"""Independent work spread over processes, with a progress bar."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    setup: Callable[[], Callable[[Item], Result]], items: Sequence[Item], num_workers: int, description: str
) -> Generator[Result, None, None]:
    """Yields the result for each item, as they are finished.

    Args:
        setup: called once in each process; what it returns is called with each item.
        items: the work.
        num_workers: processes; 1 works in this one.
        description: of the progress bar.
    """
    if num_workers <= 1 or len(items) <= 1:
        yield from map(setup(), tqdm(items, description)) if items else ()
        return
    # Spawned, because OpenGL contexts and torch's threads do not survive a fork.
    pool = ProcessPoolExecutor(min(num_workers, len(items)), get_context("spawn"), _initialize, (setup,))
    try:
        futures = [pool.submit(_work, item) for item in items]
        for future in tqdm(as_completed(futures), description, total=len(items)):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


_worker: dict[str, Any] = {}


def _initialize(setup: Callable) -> None:
    _worker["setup"] = setup
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C lets what has been begun finish, so that no episode is left half recorded.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The processes share the cores: each computes and renders on one thread.
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
