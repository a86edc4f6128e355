"""What is spoiled is spoiled as it is said, and the recording itself stays as it was."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from dp_hf import EpisodeWriter

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "spoiled_recordings.py"


@pytest.fixture(scope="module")
def benchmark():
    pytest.importorskip("mujoco")
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def episode(tmp_path) -> Path:
    with EpisodeWriter(tmp_path, "episode_0") as writer:
        for frame in range(20):
            state = np.array([frame, 2 * frame, 0, 0, 0, 0, 100 if frame < 10 else 30.0])
            writer.add_frame(np.full((8, 8, 3), 10 * frame, np.uint8), state, state, timestamp=frame / 10)
    return tmp_path / "episode_0"


def test_every_kind_that_needs_no_simulator_does_what_it_says(benchmark, episode):
    rng = np.random.default_rng(0)
    rows = benchmark["read"](episode)
    kinds = ("pauses", "late_images", "idle_ends", "turned_gripper", "stuck_gripper")
    spoiled = {kind: benchmark[f"with_{kind}"](episode, rng) for kind in kinds}
    late = spoiled["late_images"]
    assert [row.picture[0, 0, 0] for row in late] == [0, 0, 0, *range(0, 170, 10)]
    assert all((a.state == b.state).all() for a, b in zip(late, rows, strict=True))
    assert [row.state[6] for row in spoiled["turned_gripper"]] == [0] * 10 + [70] * 10
    assert {row.action[6] for row in spoiled["stuck_gripper"]} == {100}
    assert 44 <= len(spoiled["pauses"]) <= 65
    idle = spoiled["idle_ends"]
    assert all((row.state == rows[0].state).all() for row in idle[:20])
    assert all((row.state == rows[-1].state).all() for row in idle[-20:])
    assert len(benchmark["twice_as_fast"](episode, rng)) == 10
    copy = benchmark["copied"](episode, rng)
    assert 0 < max(np.abs(a.state - b.state).max() for a, b in zip(copy, rows, strict=True)) < 0.5
