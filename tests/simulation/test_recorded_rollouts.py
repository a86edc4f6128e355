"""Rollouts kept as episodes: what is in them, that nothing learns from them, and that they are there once."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.alarms import limits_for

from dp_hf import DiffusionPolicyPipeline
from dp_hf.arms.quantities import Quantities
from dp_hf.cli.evaluate import main as evaluate
from dp_hf.cli.view import main as view
from dp_hf.episodes.find import find_episodes, find_failure
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.run_file import Run
from dp_hf.errors import UserError
from dp_hf.pipelines.weights import digest_weights
from dp_hf.simulation.recorded_rollouts import RolloutFolder
from dp_hf.simulation.stacking import STACKING


def test_rollouts_of_a_policy_can_be_looked_at(make_pipeline, tmp_path, capsys):
    from dp_hf.arms.mycobot_280 import QUANTITIES

    names = {"state_names": QUANTITIES.names, "action_names": QUANTITIES.names}
    units = {"state_units": QUANTITIES.units, "action_units": QUANTITIES.units}
    make_pipeline(2, horizon=8, n_action_steps=4, **names, **units).save_pretrained(tmp_path / "policy")
    config = DiffusionPolicyPipeline.from_pretrained(tmp_path / "policy").policy.config
    limits_for(config, digest_weights(tmp_path / "policy"), time=20.0).write(tmp_path / "policy")
    arguments = ["--pipeline", str(tmp_path / "policy"), "--num_episodes", "2", "--video", "1", "--record"]
    assert evaluate([*arguments, "--output_dir", str(tmp_path / "out"), "--num_workers", "2"]) == 0
    paths = find_episodes(tmp_path / "out")
    assert [path.name for path in paths] == [f"episode_{2**30 + number}" for number in range(2)]
    for path in paths:
        assert "stacked: not after 150 steps; reached: nothing" in str(find_failure(path))
        episode, run = read_episode(path), Run.read(path, 7)
        assert set(episode.actors) == {"policy"}
        assert episode.actions.shape == (150, 7)
        assert [chunk.positions.shape for chunk in run.chunks] == [(8, 7)] * 38
        assert run.chunks[1].times == pytest.approx((4 + np.arange(8)) / STACKING.fps)
        assert [(alarm.time, alarm.reason[:20]) for alarm in run.alarms] == [(2.4, "it takes longer than")]
        scores = {score.name: score for score in run.scores}
        assert scores["time"].values.tolist() == [*range(0, 150, 4)]
        assert scores["plan"].times == pytest.approx(np.arange(0, 150, 4) / STACKING.fps)
        assert (scores["time"].limit, scores["plan"].limit, scores["progress"].limit) == (20, 1e6, None)
        assert run.holds == []
        assert episode.actions[4:8] == pytest.approx(run.chunks[1].positions[:4], abs=1e-3)
    assert evaluate([*arguments, "--output_dir", str(tmp_path / "out")]) == 2
    assert "out/episodes holds rollouts of an earlier evaluation" in capsys.readouterr().err
    assert view([str(tmp_path / "out"), "--output_dir", str(tmp_path / "page")]) == 0
    assert "episodes: 2" in capsys.readouterr().out


def test_each_scene_has_a_folder_and_what_is_there_is_not_run_again(tmp_path):
    arguments = ["--pipeline", "expert", "--num_episodes", "1", "--record", "--output_dir", str(tmp_path)]
    assert evaluate([*arguments, "--disturbances", "nominal", "light_jitter"]) == 0
    paths = find_episodes(tmp_path)
    assert [path.parent.name for path in paths] == ["light_jitter_0.3", "nominal"]
    written = [(path / "states.json").stat().st_mtime_ns for path in paths]
    (paths[0] / "states.json").unlink()
    paths[0].rename(tmp_path / "moved")
    assert evaluate([*arguments, "--disturbances", "nominal", "light_jitter"]) == 0
    again = [(path / "states.json").stat().st_mtime_ns for path in paths]
    assert again[0] > written[0]
    assert again[1] == written[1]


def test_what_cannot_be_recorded_is_said(tmp_path, capsys):
    other = replace(STACKING, action=Quantities(("x", "y"), ("metres", "metres")))
    with pytest.raises(UserError, match="rollouts of cube_stacking cannot be recorded: an episode has actions like"):
        RolloutFolder(tmp_path, other)
    assert evaluate(["--replay", str(tmp_path), "--record", "--output_dir", str(tmp_path / "out")]) == 2
    assert "--record is for a --pipeline" in capsys.readouterr().err
