"""A policy of another arm is refused at every door, in one sentence, before anything moves."""

import os
import subprocess
import sys

import numpy as np
import pytest
from arms import FOURTEEN_NUMBERS

from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.cli.evaluate import main as evaluate
from dp_hf.cli.run_policy import main as run_policy

FOURTEEN = "its action has 14 numbers (left_waist, "
RADIANS = "its action has link1_to_link2 (radians) where link1_to_link2 (degrees) is expected"


@pytest.fixture
def save_policy(make_pipeline, tmp_path):
    """A function that saves a policy of random weights with these numbers, and returns its folder."""
    from dp_hf import Normalizer

    def save(quantities) -> str:
        n, names, units = len(quantities), quantities.names, quantities.units
        pipeline = make_pipeline(
            horizon=8,
            n_action_steps=2,
            use_proprioception=True,
            **{"state_dim": n, "state_names": names, "state_units": units},
            **{"action_dim": n, "action_names": names, "action_units": units},
        )
        rows = np.random.default_rng(0).uniform(-1, 1, (100, n))
        pipeline.register_modules(normalizer=Normalizer.from_data(rows, rows))
        pipeline.save_pretrained(tmp_path / "pipeline")
        return str(tmp_path / "pipeline")

    return save


@pytest.fixture(params=[(FOURTEEN_NUMBERS, FOURTEEN), (QUANTITIES.with_units(["radians"]), RADIANS)])
def other(request, save_policy):
    """(folder of a policy for another arm, what is said of it)."""
    quantities, difference = request.param
    return save_policy(quantities), difference


def refused(code: int, capsys, difference: str) -> bool:
    """Whether a command has ended with 2, and this difference in one line."""
    (line,) = capsys.readouterr().err.splitlines()
    assert difference in line
    assert "trained on this arm's recordings" in line
    return code == 2


@pytest.mark.parametrize("robot", ["sim", "ros2"])
def test_run_policy(other, robot, capsys):
    folder, difference = other
    assert refused(run_policy(["--pipeline", folder, "--robot", robot, "--execute"]), capsys, difference)


def test_run_policy_on_the_mycobot(other, capsys):
    pytest.importorskip("pymycobot")
    from fake_mycobot import FakeMyCobot

    folder, difference = other
    with FakeMyCobot() as firmware:
        arguments = ["--pipeline", folder, "--robot", "mycobot", "--mycobot.port", firmware.port, "--execute"]
        assert refused(run_policy(arguments), capsys, difference)
        assert firmware.commands == firmware.grippers == firmware.settings == []


def test_a_remote_policy(save_policy, capsys):
    pytest.importorskip("websockets")
    pytest.importorskip("msgpack")
    command = [sys.executable, "-m", "dp_hf.cli.main", "serve-policy", "--port", "0"]
    command += ["--pipeline", save_policy(FOURTEEN_NUMBERS)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        url = server.stdout.readline().split()[-1]
        assert refused(run_policy(["--remote", url, "--robot", "ros2", "--execute"]), capsys, FOURTEEN)
    finally:
        server.terminate()
        server.communicate(timeout=20)


def test_evaluate(other, tmp_path, capsys):
    pytest.importorskip("mujoco")
    folder, difference = other
    arguments = ["--pipeline", folder, "--episodes", "1", "--video", "0", "--output_dir", str(tmp_path / "out")]
    code = evaluate(arguments)
    error = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert difference in error
    assert not (tmp_path / "out").exists()
