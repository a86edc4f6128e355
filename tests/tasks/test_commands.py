"""A task file from end to end: demonstrations, training with trials, evaluation, report."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.reach_task import copy_task

from dp_hf.cli.evaluate import main as evaluate
from dp_hf.cli.recipes import recipe_names
from dp_hf.cli.record_demonstrations import main as record
from dp_hf.cli.report import main as report
from dp_hf.cli.train import main as train
from dp_hf.episodes.dataset import open_data
from dp_hf.episodes.dataset_writer import DatasetWriter

SMALL = ["--config", "stack_fast", "--image_size", "24", "24", "--num_keypoints", "4", "--hidden_dim", "16"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    copy_task(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_from_demonstrations_to_a_report(folder, capsys):
    assert record(["--task_file", "reach.yaml", "--output_dir", "data", "--num_episodes", "3"]) == 0
    dataset, meta = open_data("data")
    assert meta.episodes == ["seed_0", "seed_1", "seed_2"]
    assert (meta.fps, meta.camera_names, str(meta.state)) == (10, ["image"], "x, y (metres)")
    assert meta.action_source == "recorded"
    assert dataset[0]["image"].size == (48, 48)
    assert meta.source.startswith("reach (task file ")
    assert meta.source.endswith(", noise 0.1, 0.1)")

    trials = ["--task_file", "reach.yaml", "--rollout_interval", "1", "--rollout_episodes", "2"]
    assert train([*SMALL, "--data_dir", "data", "--output_dir", "policy", "--num_epochs", "1", *trials]) == 0
    rows = [json.loads(line) for line in Path("policy/metrics.jsonl").read_text().splitlines()]
    assert set(rows[-1]["rollout"]) == {"success_rate", "near", "success"}
    assert "dx, dy (no unit)" in Path("policy/final/README.md").read_text()
    assert "reach.yaml" not in Path("policy/final/README.md").read_text()

    arguments = ["--task_file", "reach.yaml", "--pipeline", "policy/final", "--num_episodes", "2", "--video", "1"]
    assert evaluate([*arguments, "--output_dir", "evaluation"]) == 0
    results = json.loads(Path("evaluation/results.json").read_text())
    assert (results["task"], list(results["rates"])) == ("reach", ["near", "success"])
    assert results["task_origin"] in meta.source
    assert [episode["seed"] for episode in results["episodes"]] == [2**30, 2**30 + 1]
    assert list(Path("evaluation").glob("*.mp4"))
    assert report(["--training", "policy", "--evaluation", "evaluation", "--output", "page.html"]) == 0
    assert "reach: success " in capsys.readouterr().out
    assert "state=[0.0] * 2" in Path("page.html").read_text()

    assert evaluate(["--pipeline", "policy/final", "--output_dir", "other"]) == 2
    assert "not for the task cube_stacking: its action has 2 numbers" in capsys.readouterr().err


def test_processes_get_the_task_of_a_function(folder):
    text = """
from dp_hf.tasks.description import Numbers, TaskDescription

def task():
    two = Numbers(names=["x", "y"], units=["none"], source=["hand"])
    action = Numbers(names=["x", "y"], units=["none"])
    return TaskDescription(environment="reach.py:Reach", cameras={"top": "render"}, state=two, action=action, fps=10,
                           max_steps=30, success="distance <= 0.05", expert="reach.py:expert")
"""
    (folder / "mine.py").write_text(text)
    arguments = ["--task_file", "mine.py:task", "--pipeline", "expert", "--num_episodes", "2", "--output_dir", "out"]
    assert evaluate([*arguments, "--num_workers", "2", "--video_format", "gif"]) == 0
    assert json.loads(Path("out/results.json").read_text())["rates"]["success"]["successes"] == 2
    assert Path("out/rollouts.gif").is_file()


def test_recording_goes_on_and_replays(folder, capsys):
    arguments = ["--task_file", "reach.yaml", "--output_dir", "data", "--noise", "0"]
    assert record([*arguments, "--num_episodes", "2"]) == 0
    before = Path("data/data/train-00000-of-00001.parquet").read_bytes()
    assert record([*arguments, "--num_episodes", "2"]) == 0
    assert Path("data/data/train-00000-of-00001.parquet").read_bytes() == before
    assert record([*arguments, "--num_episodes", "3"]) == 0
    assert "3 demonstrations, 1 of them recorded now" in capsys.readouterr().out
    assert record(["--task_file", "reach.yaml", "--output_dir", "whole", "--noise", "0", "--num_episodes", "3"]) == 0
    one, other = (open_data(name)[0].with_format("numpy") for name in ("data", "whole"))
    for column in ("state", "action", "image", "episode_index"):
        np.testing.assert_array_equal(one[:][column], other[:][column])
    assert not list(Path().glob(".*_recording"))

    assert evaluate(["--task_file", "reach.yaml", "--replay", "data", "--output_dir", "replay"]) == 0
    assert json.loads(Path("replay/results.json").read_text())["rates"]["success"]["successes"] == 3

    capsys.readouterr()
    assert evaluate(["--task_file", changed(folder, max_steps=40), "--replay", "data"]) == 2
    assert "data was recorded in reach (task file " in capsys.readouterr().err
    assert record([*arguments, "--num_episodes", "4", "--noise", "0.2"]) == 2
    assert "give the same arguments and task file" in capsys.readouterr().err


def test_a_demonstration_counts_when_its_success_has_held(folder, capsys):
    arguments = ["--task_file", "reach.yaml", "--noise", "0", "--num_episodes", "1", "--output_dir"]
    assert record([*arguments, "once"]) == 0
    assert record([*arguments, "held", "--success_steps", "4"]) == 0
    assert len(open_data("held")[0]) == len(open_data("once")[0]) + 3
    assert record([*arguments, "once", "--success_steps", "4"]) == 2
    assert "give the same arguments and task file" in capsys.readouterr().err
    assert record(["--success_steps", "4", "--output_dir", "x"]) == 2
    assert "--success_steps is for a task file" in capsys.readouterr().err


def test_what_was_recorded_before_it_was_cut_off_counts(folder, monkeypatch, capsys):
    written = DatasetWriter.add_episode

    def interrupted(self, name, *arguments, **options):
        if name == "seed_1":
            raise KeyboardInterrupt
        return written(self, name, *arguments, **options)

    monkeypatch.setattr(DatasetWriter, "add_episode", interrupted)
    arguments = ["--task_file", "reach.yaml", "--output_dir", "data", "--num_episodes", "2"]
    assert record(arguments) == 130
    assert not Path("data").exists()
    assert [path.name for path in Path(".data_recording").iterdir()] == ["seed_0"]
    Path(".data_recording/.seed_7.half").mkdir()
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert record(arguments) == 0
    assert "2 demonstrations, 1 of them recorded now" in capsys.readouterr().out
    assert not Path(".data_recording").exists()


def test_a_demonstration_that_is_in_the_dataset_already_is_not_added_again(folder):
    """As when a run is killed after it has put the dataset together."""
    arguments = ["--task_file", "reach.yaml", "--output_dir", "data", "--num_episodes"]
    assert record([*arguments, "1"]) == 0
    shutil.copytree("data", ".data_recording/seed_0")
    assert record([*arguments, "2"]) == 0
    assert open_data("data")[1].episodes == ["seed_0", "seed_1"]
    assert not Path(".data_recording").exists()


def changed(folder, **changes):
    values = yaml.safe_load((folder / "reach.yaml").read_text()) | changes
    (folder / "changed.yaml").write_text(yaml.safe_dump({key: value for key, value in values.items() if value}))
    return "changed.yaml"


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (record, ["--push", "20", "--output_dir", "x"], "--push change the scene of cube stacking"),
        (record, ["--noise_phases", "place", "--output_dir", "x"], "--noise_phases change the scene"),
        (record, ["--robot", "mycobot", "--output_dir", "x"], "--task_file is for the simulator"),
        (record, ["--camera_names", "front", "--output_dir", "x"], "no camera front: "),
        (evaluate, ["--pipeline", "expert", "--disturbances"], "--disturbances change the scene"),
        (evaluate, ["--replay", "nothing"], "nothing/meta.json"),
        (train, ["--data_dir", "x"], "--task_file is for the trials of --rollout_interval"),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_here_are_refused(command, arguments, message, folder, capsys):
    assert command(["--task_file", "reach.yaml", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_task_that_cannot_be_tried_is_refused_before_the_training(folder, capsys):
    assert record(["--task_file", "reach.yaml", "--output_dir", "data", "--num_episodes", "2"]) == 0
    trials = ["--data_dir", "data", "--output_dir", "policy", "--rollout_interval", "1", "--num_epochs", "1"]
    file = changed(folder, cameras={"top": "pixels"})
    assert train([*SMALL, *trials, "--task_file", file]) == 2
    assert "cameras: top: pixels is not in the observation" in capsys.readouterr().err
    assert train([*SMALL, *trials]) == 2
    assert "not for the task cube_stacking" in capsys.readouterr().err
    assert not list(Path("policy").glob("best"))


def test_arguments_of_a_file_that_is_for_many_tasks(folder, capsys):
    file = changed(folder, name="reach-{render_mode}", arguments={"render_mode": "rgb_array"})
    arguments = ["--task_file", file, "--pipeline", "expert", "--num_episodes", "1", "--video", "0"]
    assert evaluate([*arguments, "--task_arguments", "render_mode=other", "--output_dir", "."]) == 0
    assert json.loads(Path("results.json").read_text())["task"] == "reach-other"
    for given, message in (
        (["nonsense"], "give NAME=VALUE"),
        (["no=3"], "cannot be made with {'render_mode': 'rgb_array'"),
        (["render_mode=a", "render_mode=b"], "--task_arguments has 'render_mode' twice"),
    ):
        assert evaluate([*arguments, "--task_arguments", *given]) == 2
        assert message in capsys.readouterr().err
    assert evaluate(["--pipeline", "expert", "--task_arguments", "a=1"]) == 2
    assert "--task_arguments are those of a task file" in capsys.readouterr().err
    for command, words, message in (
        (evaluate, ["--pipeline", "expert", "--disturbances"], "--task_arguments are those of a task file"),
        (record, ["--robot", "mycobot", "--output_dir", "x"], "--task_arguments is for the simulator"),
        (train, ["--data_dir", "x"], "--task_file is for the trials of --rollout_interval"),
    ):
        assert command([*words, "--task_arguments", "a=1"]) == 2
        assert message in capsys.readouterr().err
    file = changed(folder, name="{nothing}")
    assert evaluate(["--task_file", file, "--pipeline", "expert"]) == 2
    assert "name: '{nothing}' names an argument that is none" in capsys.readouterr().err


def test_a_task_without_an_expert(folder, capsys):
    file = changed(folder, expert=None)
    assert record(["--task_file", file, "--output_dir", "x"]) == 2
    assert evaluate(["--task_file", file, "--pipeline", "expert"]) == 2
    assert capsys.readouterr().err.count("has no expert") == 2


def test_a_name_of_no_task_file(capsys):
    assert evaluate(["--task_file", "no_such_task", "--pipeline", "expert"]) == 2
    assert f"only {', '.join(recipe_names('tasks'))}" in capsys.readouterr().err


def test_noise_of_several_units_is_said_number_by_number(folder, capsys):
    file = changed(folder, action={"names": ["a", "b"], "units": ["metres", "radians"]})
    assert record(["--task_file", file, "--output_dir", "x", "--noise", "0.1"]) == 2
    assert "--noise 0.1 would be of metres and of radians" in capsys.readouterr().err


def test_a_policy_of_another_rate_or_other_names_is_refused(folder, make_pipeline, capsys):
    names = {"action_dim": 2, "action_names": ("dx", "dy"), "action_units": ("none", "none")}
    swapped = names | {"action_names": ("dy", "dx")}
    for fps, names_of, message in ((7.0, names, "acts 7 times a second"), (10.0, swapped, "has dy (no unit) where dx")):
        make_pipeline(fps=fps, **names_of).save_pretrained(f"policy_{fps}")
        assert evaluate(["--task_file", "reach.yaml", "--pipeline", f"policy_{fps}"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("metaworld", "METAWORLD_PYTHON"),
        ("metaworld_hand", "METAWORLD_PYTHON"),
        ("aloha_transfer_cube", "ALOHA_PYTHON"),
        ("aloha_insertion", "ALOHA_PYTHON"),
        ("fetch_pick_and_place", "FETCH_PYTHON"),
        ("robosuite_lift", "ROBOSUITE_PYTHON"),
        ("robosuite_stack", "ROBOSUITE_PYTHON"),
    ],
)
def test_a_public_task_and_its_expert(name, variable, tmp_path):
    if variable not in os.environ:
        pytest.skip(f"{variable} names no Python that has it")
    arguments = ["--task_file", name, "--pipeline", "expert", "--num_episodes", "1", "--output_dir", str(tmp_path)]
    assert evaluate(arguments) == 0
    assert json.loads((tmp_path / "results.json").read_text())["rates"]["success"]["successes"] == 1
