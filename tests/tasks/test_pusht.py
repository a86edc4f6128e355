"""The published demonstrations of PushT, as a set of their layout, and the task file that comes with dp_hf."""

import json
import os
from pathlib import Path

import pytest
from lerobot_set import name_numbers, write_lerobot

from dp_hf.cli.convert_episodes import main as convert
from dp_hf.cli.evaluate import main as evaluate
from dp_hf.cli.recipes import recipe_folder
from dp_hf.cli.train import main as train
from dp_hf.episodes.dataset import open_data
from dp_hf.tasks.description import load_task


@pytest.fixture(params=["image", "video"])
def imported(request, tmp_path, monkeypatch):
    """As `lerobot/pusht_image` and `lerobot/pusht`, of random places."""
    monkeypatch.chdir(tmp_path)
    columns = {"camera": "observation.image", "size": (96, 96), "outcome": True}
    write_lerobot(tmp_path / "pusht", width=2, kind=request.param, fps=10, lengths=(10, 10), **columns)
    name_numbers(tmp_path / "pusht", {"motors": ["motor_0", "motor_1"]})
    assert convert(["from-lerobot", "--data_dir", "pusht", "--output_dir", "data"]) == 0
    return open_data("data")


def test_a_policy_of_the_published_set_is_for_the_task(imported, make_pipeline):
    dataset, meta = imported
    assert dataset[0]["image"].size == (96, 96)
    task = load_task(str(recipe_folder("tasks") / "pusht.yaml"))
    assert (meta.state, meta.action, meta.fps) == (task.state, task.action, task.fps)
    names = {"state_names": meta.state.names, "state_units": meta.state.units}
    names |= {"action_names": meta.action.names, "action_units": meta.action.units}
    config = make_pipeline(state_dim=2, action_dim=2, fps=meta.fps, use_proprioception=True, **names).policy.config
    task.require_fitting(config, "policy")
    assert task.cameras_of(meta.camera_names) == ("top",)


@pytest.mark.slow
def test_the_published_set_trains_a_policy_that_acts_in_the_task(imported):
    if "PUSHT_PYTHON" not in os.environ:
        pytest.skip("PUSHT_PYTHON names no Python that has gym-pusht")
    small = ["--config", "stack_fast", "--image_size", "24", "24", "--num_keypoints", "4", "--hidden_dim", "16"]
    trials = ["--task_file", "pusht", "--rollout_interval", "1", "--rollout_episodes", "1"]
    assert train([*small, "--data_dir", "data", "--output_dir", "policy", "--num_epochs", "1", *trials]) == 0
    arguments = ["--task_file", "pusht", "--pipeline", "policy/final", "--num_episodes", "1", "--video", "0"]
    assert evaluate([*arguments, "--output_dir", "evaluation"]) == 0
    results = json.loads(Path("evaluation/results.json").read_text())
    assert (results["task"], results["episodes"][0]["length"]) == ("pusht", 300)
