import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from dp_hf.errors import RunFailed
from dp_hf.workers.workers import HERE, Workers


class Worker:
    """Tells its process and how many items it has had."""

    def __init__(self):
        self.count = 0

    def __call__(self, item):
        if item < 0:
            raise FloatingPointError(f"item {item}")
        self.count += 1
        return item, os.getpid(), self.count


class Mortal:
    """Ends its process at every item of `deadly` that has no file in `folder` yet."""

    def __init__(self, folder: Path, deadly: tuple, times: int):
        self.folder, self.deadly, self.times = folder, deadly, times

    def __call__(self, item):
        tries = len([*self.folder.glob(f"{item}.*")])
        if item in self.deadly and tries < self.times:
            (self.folder / f"{item}.{tries}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 10 * item


@pytest.mark.parametrize("num_workers", [1, 3])
def test_every_item_once_and_one_setup_a_process(num_workers):
    results = Workers(num_workers).map(Worker, range(12), "working")
    assert [item for item, _, _ in results] == list(range(12))
    for process in (processes := {process for _, process, _ in results}):
        counts = [count for _, of, count in results if of == process]
        assert sorted(counts) == list(range(1, len(counts) + 1))
    assert (os.getpid() in processes) == (num_workers == 1)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_what_goes_wrong_is_told(num_workers):
    with pytest.raises(FloatingPointError, match="item -1"):
        Workers(num_workers).map(Worker, [1, -1, 2], "working")


def test_nothing_to_do():
    assert Workers(2).map(Worker, [], "working") == HERE.map(Worker, [], "working") == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_that_dies_is_survived(tmp_path):
    setup = partial(Mortal, tmp_path, (3, 5), 2)
    assert Workers(2).map(setup, range(8), "working") == [10 * item for item in range(8)]
    assert len([*tmp_path.iterdir()]) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_item_that_ends_three_workers_is_named(tmp_path):
    with pytest.raises(RunFailed, match=r"3 workers have died at .*5"):
        Workers(2).map(partial(Mortal, tmp_path, (5,), 100), range(8), "working")
    assert len([*tmp_path.iterdir()]) == 3


KILLED = """
import os, time
from dp_hf.workers.workers import Workers

class Work:
    def __call__(self, item):
        print(os.getpid(), flush=True)
        time.sleep(0.2)

if __name__ == "__main__":
    Workers(2).map(Work, range(1000), "working")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_leaves_no_workers(number, tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "killed.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        workers = set()
        while len(workers) < 2:
            workers.add(int(process.stdout.readline()))
        process.send_signal(number)
        process.wait()
        # The pipe ends when the last of them does.
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            raise
