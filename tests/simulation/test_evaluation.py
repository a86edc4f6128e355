import json

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.simulation.environment import STAGES
from dp_hf.simulation.evaluation import summarize, wilson
from dp_hf.simulation.rollouts import RolloutResult
from dp_hf.simulation.video import SUCCESS, write_grid

counts = st.integers(1, 2000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(counts)
def test_wilson_interval(count):
    successes, trials = count
    rate = wilson(successes, trials)
    assert 0 <= rate.low <= rate.rate <= rate.high <= 1
    assert rate.low < rate.high
    mirrored = wilson(trials - successes, trials)
    assert rate.low == pytest.approx(1 - mirrored.high, abs=1e-12)
    # It holds exactly the probabilities that the normal approximation at that probability does not reject.
    for bound in {rate.low, rate.high} - {0.0, 1.0}:
        if abs(bound - rate.rate) > 1e-9:
            z = abs(rate.rate - bound) / np.sqrt(bound * (1 - bound) / trials)
            assert z == pytest.approx(1.96, abs=0.001)
    more = wilson(4 * successes, 4 * trials)
    assert more.high - more.low < rate.high - rate.low


def test_wilson_against_published_values():
    rate = wilson(91, 100)
    assert (round(rate.low, 3), round(rate.high, 3)) == (0.838, 0.952)
    assert wilson(0, 0).high == 1.0
    with pytest.raises(ValueError, match="5 successes of 3"):
        wilson(5, 3)


def result(seed, length, reached, latencies=(), num_frames=0):
    stages = {stage: index < reached for index, stage in enumerate(STAGES)}
    frames = [np.full((20, 32, 3), step, np.uint8) for step in range(num_frames)]
    return RolloutResult(seed, length, stages, list(latencies), frames)


def test_summary_counts_stages():
    evaluation = summarize([result(1, 30, 5, [0.01, 0.03]), result(2, 150, 2, [0.02]), result(3, 40, 5)])
    assert [evaluation.rates[stage].successes for stage in STAGES] == [3, 3, 2, 2, 2]
    assert evaluation.mean_length == 35
    assert evaluation.latency_p50 == 0.02
    content = json.loads(json.dumps(evaluation.to_dict()))
    assert content["rates"]["stacked"]["trials"] == 3
    assert content["episodes"][1] == {
        "seed": 2, "length": 150, "reached": True, "grasped": True, "lifted": False, "placed": False, "stacked": False
    }  # fmt: skip
    assert "2/3 = 66.7%" in str(evaluation)


def test_a_video_of_a_quick_environment_leaves_frames_out(tmp_path):
    write_grid([result(1, 80, 5, num_frames=80)], tmp_path / "grid.mp4", fps=80)
    assert len(iio.imread(tmp_path / "grid.mp4")) == 54  # two seconds at 80 / 3


@pytest.mark.parametrize("name", ["grid.mp4", "grid.gif"])
def test_grid_shows_every_rollout_to_its_end(tmp_path, name):
    results = [result(1, 4, 5, num_frames=4), result(2, 8, 0, num_frames=8), result(3, 5, 0)]
    write_grid(results, tmp_path / name, fps=10)
    video = iio.imread(tmp_path / name)
    assert video.shape[1:] == (28, 80, 3)
    # A GIF shows equal frames as one.
    assert len(video) == 18 or name == "grid.gif"
    assert np.abs(video[-1, 1, 20].astype(int) - SUCCESS).max() < 30
    assert video[-1, 1, 60][0] > 150 > video[-1, 1, 60][1]


def test_a_grid_needs_frames(tmp_path):
    with pytest.raises(ValueError, match="no rollout"):
        write_grid([result(1, 4, 5)], tmp_path / "grid.mp4", fps=10)
