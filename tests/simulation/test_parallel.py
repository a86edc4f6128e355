import os
import signal
import subprocess
import sys

import pytest

from dp_hf.simulation.parallel import map_in_processes


class Worker:
    """Tells its process and how many items it has had."""

    def __init__(self):
        self.count = 0

    def __call__(self, item):
        if item < 0:
            raise FloatingPointError(f"item {item}")
        self.count += 1
        return item, os.getpid(), self.count


@pytest.mark.parametrize("num_workers", [1, 3])
def test_every_item_once_and_one_setup_a_process(num_workers):
    results = list(map_in_processes(Worker, range(12), num_workers, "working"))
    assert sorted(item for item, _, _ in results) == list(range(12))
    for process in (processes := {process for _, process, _ in results}):
        counts = [count for _, of, count in results if of == process]
        assert sorted(counts) == list(range(1, len(counts) + 1))
    assert (os.getpid() in processes) == (num_workers == 1)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_what_goes_wrong_is_told(num_workers):
    with pytest.raises(FloatingPointError, match="item -1"):
        list(map_in_processes(Worker, [1, -1, 2], num_workers, "working"))


def test_nothing_to_do():
    assert list(map_in_processes(Worker, [], 2, "working")) == []


KILLED = """
import os, time
from dp_hf.simulation.parallel import map_in_processes

class Work:
    def __call__(self, item):
        print(os.getpid(), flush=True)
        time.sleep(0.2)

if __name__ == "__main__":
    list(map_in_processes(Work, range(1000), 2, "working"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
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
