import os

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
