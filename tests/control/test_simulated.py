import time
from types import SimpleNamespace

import numpy as np
import pytest
from control_fakes import HOME, as_policy

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.control.controller import Controller
from dp_hf.control.robots.simulated import SimulatedRobot


class Arm:
    """A gymnasium environment: at the end of a step the arm is where it was told to be; past 3 degrees all is done."""

    metadata = {"render_fps": 50}  # noqa: RUF012
    action_space = SimpleNamespace(shape=(7,))
    fails = False

    def reset(self, seed=None, options=None):
        self.state = HOME.astype(np.float32)
        self.seed = seed
        return self.observation(), {"seed": seed}

    def step(self, action):
        if self.fails:
            raise RuntimeError("the scene fell apart")
        assert action.dtype == np.float32
        self.state = action
        return self.observation(), 0.0, bool(self.state[0] > 3), False, {}

    def observation(self):
        picture = np.random.default_rng().integers(0, 255, (4, 6, 3), dtype=np.uint8)
        return {"state": self.state, "front": picture, "side": picture}

    def close(self):
        pass


def test_it_lives_in_real_time_and_ends_the_run_when_its_task_is_done():
    robot = SimulatedRobot(Arm, MYCOBOT_280.quantities, seed=7)
    assert robot.info == {"seed": 7}
    assert set(robot.read_image().value) == {"front", "side"}
    controller = Controller(
        robot, as_policy(lambda image, state: np.tile(HOME + [4, 0, 0, 0, 0, 0, 0], (4, 1))), MYCOBOT_280.limits
    )
    start = time.monotonic()
    controller.run(duration=10)
    assert time.monotonic() - start < 5
    assert robot.finished
    robot.close()


def test_an_environment_that_fails_is_a_fault():
    robot = SimulatedRobot(Arm, MYCOBOT_280.quantities)
    Arm.fails = True
    try:
        give_up = time.monotonic() + 5
        while robot.fault is None and time.monotonic() < give_up:
            time.sleep(0.01)
    finally:
        Arm.fails = False
    assert robot.fault == "simulator: the scene fell apart"
    robot.close()


def test_an_environment_that_cannot_be_made_is_an_error():
    def make():
        raise RuntimeError("no display")

    with pytest.raises(RuntimeError, match="no display"):
        SimulatedRobot(make, MYCOBOT_280.quantities)
