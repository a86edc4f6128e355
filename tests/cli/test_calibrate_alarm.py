"""`dp-hf calibrate-alarm` on a small task, and what `evaluate` then says."""

import json
from pathlib import Path

import pytest
from helpers.reach_task import TASK, copy_task, save_policy

from dp_hf import DiffusionPolicyPipeline
from dp_hf.cli.calibrate_alarm import main as calibrate
from dp_hf.cli.evaluate import main as evaluate
from dp_hf.cli.record_demonstrations import main as record

FEW = ["--num_episodes", "5", "--false_alarms", "0.4"]


@pytest.fixture
def folder(tmp_path, monkeypatch, make_pipeline):
    """The task, demonstrations of it, and a policy of random weights."""
    copy_task(tmp_path)
    monkeypatch.chdir(tmp_path)
    save_policy(make_pipeline, n_action_steps=2, use_proprioception=True)
    assert record([*TASK, "--output_dir", "data", "--num_episodes", "5"]) == 0
    return tmp_path


def test_limits_from_recorded_runs_watch_those_of_the_simulator(folder, capsys):
    assert calibrate(["policy", "--data_dir", "data", "--recordings", "data", "--false_alarms", "0.4"]) == 0
    assert "5 of 5 runs succeeded" in (printed := capsys.readouterr().out)
    assert "plan     usually up to" in printed
    alarm = DiffusionPolicyPipeline.from_pretrained("policy").alarm
    assert (alarm.calibration.num_successes, alarm.calibration.n_action_steps) == (5, 2)
    assert 1 < alarm.limits["time"] < 60
    assert alarm.reference.states.shape[1] == 2

    arguments = [*TASK, "--pipeline", "policy", "--num_episodes", "2", "--video", "0", "--output_dir", "evaluation"]
    assert evaluate(arguments) == 0
    assert "alarm: 2 of 2 failures caught, in the median " in capsys.readouterr().out  # it goes nowhere, so it is late
    results = json.loads(Path("evaluation/results.json").read_text())
    assert results["alarm"]["caught"] == 2
    assert results["episodes"][0]["alarm"]["kind"] in ("unsure", "late")

    assert evaluate([*arguments, "--n_action_steps", "1"]) == 0
    printed = capsys.readouterr().out
    assert "not watched: the alarm's limits were measured with n_action_steps 2" in printed
    assert "alarm:" not in printed


def test_limits_need_runs_that_succeed_and_data_of_the_policy(folder, capsys):
    assert calibrate(["policy", *TASK, "--data_dir", "data", *FEW]) == 2
    assert "none of 5 runs succeeded" in capsys.readouterr().err
    assert not Path("policy/alarm").exists()
    assert calibrate(["policy", *TASK, "--data_dir", "data", "--num_episodes", "5"]) == 2
    assert "5 runs that succeeded are too few to promise so few false alarms: 39 would" in capsys.readouterr().err
    assert calibrate(["nowhere", "--data_dir", "data"]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    assert calibrate(["policy", "--data_dir", "data", "--recordings", "data", "--num_episodes", "5"]) == 2
    assert "leave --num_episodes out" in capsys.readouterr().err
