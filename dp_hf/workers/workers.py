"""Independent work spread over workers, with one progress bar."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tqdm import tqdm

from dp_hf.errors import RunFailed

Item = TypeVar("Item")
Result = TypeVar("Result")
Setup = Callable[[], Callable[[Item], Result]]

MAX_TRIES = 3
_SHOWN = 200  # characters of an item


class WorkerDied(Exception):
    """The process that worked on an item has ended."""


class Engine(Protocol):
    """What does the work."""

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *exception) -> None: ...

    def capacity(self) -> int:
        """How many items it takes at once."""

    def submit(self, item: object) -> Future:
        """Begins the work on an item; the future raises `WorkerDied` where that has ended a process."""

    def require_alive(self) -> None:
        """Raises `RunFailed` where no result will come any more; asked while nothing comes."""


class _Numbered(Generic[Item, Result]):
    def __init__(self, setup: "Setup[Item, Result]"):
        self.function = setup()

    def __call__(self, numbered: tuple[int, Item]) -> Result:
        return self.function(numbered[1])


@dataclass(frozen=True)
class Workers:
    """Where independent work is done.

    Attributes:
        num_workers: processes of this machine; 1 works in this one. Without a number this one works too, and may take
            threads where they help.
        cluster: address of a Dask scheduler, whose workers do it in place of processes of this machine.
        reads, writes: folders in which workers find and leave files; those of a cluster have to see them.
    """

    num_workers: int | None = None
    cluster: str | None = None
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether this process does the work itself."""
        return self.cluster is None and self._processes <= 1

    @property
    def takes_threads(self) -> bool:
        """Whether an item may be worked on by threads of this process, for nothing shares the cores with it."""
        return self.cluster is None and self.num_workers is None

    @property
    def _processes(self) -> int:
        return 1 if self.num_workers is None else self.num_workers

    def map(
        self, setup: "Setup[Item, Result]", items: Sequence[Item], description: str, progress: bool = True
    ) -> list[Result]:
        """As `as_finished`: all results, in the order of the items."""
        numbered = self.as_finished(partial(_Numbered, setup), enumerate(items), description, progress, len(items))
        results = {number: result for (number, _), result in numbered}
        return [results[number] for number in range(len(items))]

    def as_finished(
        self,
        setup: "Setup[Item, Result]",
        items: Iterable[Item],
        description: str,
        progress: bool = True,
        total: int | None = None,
    ) -> Generator[tuple[Item, Result], None, None]:
        """Yields each item with its result, as they are finished; at most a few are under way.

        An item whose worker dies is tried again.

        Args:
            setup: called once in each process; what it returns is called with each item. A function of a module, a
                class, or a `functools.partial` of one.
            items: the work. Where they are made as they are asked for, none is made before its turn.
            description: of the progress bar.
            progress: whether there is one.
            total: how many items there are, where they do not have a length.

        Raises:
            RunFailed: an item has ended three workers; or the cluster is gone.
        """
        count = len(items) if isinstance(items, Sized) else total
        assert count is not None
        with tqdm(total=count, desc=description, disable=not progress) as bar:
            if self.is_here or not count or (self.cluster is None and count == 1):
                function = setup() if count else None
                for item in items:
                    result = function(item)  # type: ignore[misc]
                    bar.update()
                    yield item, result
                return
            with self._engine(setup, count) as engine:
                for item, result in _run(engine, items):
                    bar.update()
                    yield item, result

    def _engine(self, setup: Setup, num_items: int) -> Engine:
        if self.cluster is not None:
            from dp_hf.workers.cluster import Cluster

            return Cluster(self.cluster, setup, self.reads, self.writes)
        from dp_hf.workers.processes import Processes

        return Processes(min(self._processes, num_items), setup)


HERE = Workers()


def died_at(item: object, who: str) -> RunFailed:
    """That `who` have died, each at this item."""
    return RunFailed(f"{who} have died at {repr(item)[:_SHOWN]}: no memory was left, or it crashes there")


def _run(engine: Engine, items: Iterable[Item]) -> Generator[tuple[Item, Result], None, None]:
    waiting = enumerate(items)
    again: list[tuple[int, Item]] = []
    deaths: Counter[int] = Counter()
    running: dict[Future, tuple[int, Item]] = {}
    done: set[Future] = set()
    while True:
        while len(running) < engine.capacity() and (numbered := again.pop() if again else next(waiting, None)):
            running[engine.submit(numbered[1])] = numbered
        if not running:
            return
        done, _ = wait(running, timeout=2, return_when=FIRST_COMPLETED)
        if not done:
            engine.require_alive()
        finished = [(future, *running.pop(future)) for future in done]
        for future, number, item in finished:
            if isinstance(future.exception(), WorkerDied):
                deaths[number] += 1
                if deaths[number] == MAX_TRIES:
                    raise died_at(item, f"{MAX_TRIES} workers")
                again.append((number, item))
        for future, _, item in finished:
            if not isinstance(future.exception(), WorkerDied):
                yield item, future.result()
