"""The programs of scripts/examples, run as a reader would, with less of everything."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dp_hf import DiffusionPolicyPipeline, TrainConfig, open_data
from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.cli.main import main
from dp_hf.errors import UserError

EXAMPLES = Path(__file__).parents[1] / "scripts" / "examples"


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_test_and_its_command_in_its_docstring():
    text = Path(__file__).read_text("utf-8")
    for example in EXAMPLES.glob("*.py"):
        assert f'load("{example.stem}")' in text
        assert f"python scripts/examples/{example.name} " in load(example.stem).__doc__


def test_an_own_arm_from_recording_over_the_training_loop_to_the_control_loop(tmp_path, capsys, make_pipeline):
    arm, loop = load("drive_own_robot"), load("train_loop")
    arm.record(str(tmp_path / "data"), num_episodes=4)
    small = {"image_size": (12, 16), "num_keypoints": 4, "hidden_dim": 16, "num_inference_steps": 2}
    config = TrainConfig.from_options(**loop.CONFIG.options() | small)
    trained = loop.train(str(tmp_path / "data"), tmp_path / "policy", num_epochs=3, config=config)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert losses[-1] < losses[0]

    assert DiffusionPolicyPipeline.from_pretrained(tmp_path / "policy").policy.config.action_names == [
        "pan",
        "reach",
        "jaw",
    ]
    assert not trained.policy.training
    joints, report = arm.drive(str(tmp_path / "policy"), seconds=1.5)
    assert (arm.DESK_ARM.limits.lowest <= joints).all()
    assert (joints <= arm.DESK_ARM.limits.highest).all()
    assert report.chunks > 0
    assert not np.allclose(joints, arm.HOME)

    # The commands drive it as well, of its own limits or of a file's, and keep the run.
    robot = ["--robot", f"{EXAMPLES / 'drive_own_robot.py'}:DeskArm", "--robot_arguments", "target=[0.4, 0.2]"]
    command = ["run-policy", "--pipeline", str(tmp_path / "policy"), *robot, "--duration", "1"]
    assert main([*command, "--execute", "--record", str(tmp_path / "runs")]) == 0
    assert open_data(tmp_path / "runs")[1].action == arm.DESK_ARM.quantities
    assert main(command) == 0
    assert "dry run" in capsys.readouterr().out

    make_pipeline(action_names=QUANTITIES.names, action_units=QUANTITIES.units).save_pretrained(tmp_path / "mycobot")
    with pytest.raises(UserError, match="mycobot is not for desk_arm"):
        arm.drive(str(tmp_path / "mycobot"))
    assert main(["run-policy", "--pipeline", str(tmp_path / "mycobot"), *robot]) == 2
    assert "drive_own_robot.py:DeskArm: its action has 7 numbers" in capsys.readouterr().err


def test_a_policy_acts_in_the_simulator(tmp_path, make_pipeline):
    pytest.importorskip("mujoco")
    pipeline = make_pipeline(horizon=16, n_action_steps=16, use_proprioception=True)
    pipeline.save_pretrained(tmp_path / "policy")
    stages = load("act_in_simulator").act(str(tmp_path / "policy"))
    assert list(stages) == ["reached", "grasped", "lifted", "placed", "stacked"]
    assert not stages["stacked"]
