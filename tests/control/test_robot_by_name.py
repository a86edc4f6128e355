"""`--robot FILE.py:CLASS`: a class of the user's, by a file of its own."""

import json

import numpy as np
import pytest
from arms import FIVE, FIVE_NUMBERS

from dp_hf.cli.main import main

ROBOT = """
import time

import numpy as np

from dp_hf.control.robot import Stamped


class Plain:
    command_rate = 50.0
    fault = finished = None

    def __init__(self, arm=None, port="/dev/ttyUSB0"):
        self.quantities, self.port = arm.quantities, port
        self.state = np.array([0.2, -0.4, 60, 0.1, -30])
        self.random = np.random.default_rng(0)

    def read_state(self):
        return Stamped(self.state.copy(), time.monotonic())

    def read_image(self):
        return Stamped(self.random.integers(0, 255, (24, 42, 3), dtype=np.uint8), time.monotonic())

    def send_command(self, command):
        self.state = command

    def hold(self):
        print("held at", self.port)

    def close(self):
        print("closed")


class Half:
    def __init__(self, arm):
        self.quantities = arm.quantities


class Failing:
    def __init__(self, arm):
        raise OSError("no such port")
"""


@pytest.fixture
def robot(tmp_path) -> str:
    (tmp_path / "robot.py").write_text(ROBOT)
    return f"{tmp_path / 'robot.py'}"


@pytest.fixture
def arm(tmp_path) -> str:
    limits = FIVE.limits
    said = {
        "names": list(FIVE_NUMBERS.names),
        "units": list(FIVE_NUMBERS.units),
        "gripper": "jaw",
        "limits": {
            "positions": {"stops": np.stack([limits.lowest, limits.highest], 1).tolist()},
            **{name: getattr(limits, name).tolist() for name in ("velocity", "acceleration", "max_jump")},
            "start_tolerance": limits.start_tolerance.tolist(),
        },
    }
    (tmp_path / "five.yaml").write_text(json.dumps(said))
    return str(tmp_path / "five.yaml")


@pytest.fixture
def pipeline(make_pipeline, tmp_path) -> str:
    names, units = list(FIVE_NUMBERS.names), list(FIVE_NUMBERS.units)
    described = {"action_names": names, "action_units": units, "state_names": names, "state_units": units}
    pipeline = make_pipeline(horizon=8, use_proprioception=True, state_dim=5, action_dim=5, **described)
    pipeline.save_pretrained(tmp_path / "pipeline")
    return str(tmp_path / "pipeline")


def test_it_is_called_with_the_arm_and_with_arguments_and_closed(robot, arm, pipeline, capsys):
    given = ["--robot", f"{robot}:Plain", "--arm", arm, "--robot_arguments", "port=/dev/ttyACM7"]
    main(["run-policy", "--pipeline", pipeline, *given, "--execute", "--duration", "0.5"])
    output = capsys.readouterr().out
    assert "held at /dev/ttyACM7\nclosed" in output.replace("\n\n", "\n")
    assert "commands (" in output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--robot", "{robot}:Plain"], "has no limits (SafetyLimits): give its class some, or give --arm FILE"),
        (["--robot", "{robot}:Half", "--arm", "{arm}"], "a Half is no robot: it has no command_rate, fault, finished"),
        (["--robot", "{robot}:Absent", "--arm", "{arm}"], "Absent cannot be loaded (AttributeError"),
        (["--robot", "nowhere_at_all:Robot", "--arm", "{arm}"], "cannot be loaded (ModuleNotFoundError"),
        (["--robot", "{robot}:Plain", "--arm", "{arm}", "--robot_arguments", "baud=3"], "cannot be made of baud, arm"),
        (["--robot", "{robot}:Plain", "--arm", "{arm}", "--robot_arguments", "port"], "give NAME=VALUE, such as port="),
        (["--robot", "{robot}:Plain", "--arm", "so101"], "is not for --robot"),
        (["--robot", "{robot}:Plain", "--arm", "{arm}", "--camera.source", "0"], "nobody looks at it"),
        (["--robot", "{robot}:Failing", "--arm", "{arm}"], "cannot be made (OSError: no such port)"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(robot, arm, pipeline, options, said, capsys):
    options = [option.format(robot=robot, arm=arm) for option in options]
    assert main(["run-policy", "--pipeline", pipeline, *options]) == 2
    assert said in next(line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
