import json

import imageio.v3 as iio
import numpy as np
import pytest

from dp_hf.simulation.environment import STAGES
from dp_hf.simulation.evaluation import summarize
from dp_hf.simulation.rollouts import RolloutResult
from dp_hf.simulation.video import SUCCESS, write_grid


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
