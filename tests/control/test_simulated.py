import time
from types import SimpleNamespace

import numpy as np
import pytest
from control_fakes import HOME, as_policy, assert_legal

from dp_hf.arms.mycobot_280 import MYCOBOT_280, SIMULATED_MYCOBOT_280
from dp_hf.control.controller import Controller
from dp_hf.control.recorder import FrameRecorder
from dp_hf.control.robots.simulated import SimulatedRobot
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.writer import EpisodeWriter


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


@pytest.mark.slow
def test_the_expert_takes_the_arm_from_a_policy_that_stands_still_and_stacks(tmp_path):
    from dp_hf.simulation.stacking import STACKING, make_environment

    limits = SIMULATED_MYCOBOT_280.limits
    robot = SimulatedRobot(
        lambda: make_environment(image_size=(24, 42)), limits.quantities, seed=3, make_expert=STACKING.make_expert
    )
    policy = as_policy(lambda image, state: np.tile(state, (8, 1)))
    with EpisodeWriter(tmp_path) as writer, FrameRecorder(writer, 10) as recorder:
        controller = Controller(robot, policy, limits, n_action_steps=4)
        commands = []

        def observe(tick):
            commands.append(tick.command)
            recorder.offer(tick.time, tick.image, tick.state, tick.command, tick.actor)
            if len(commands) == 50:
                controller.call_person()

        controller.observers.append(observe)
        controller.run(duration=60)
        robot.close()
    assert robot.finished == "the simulated task is done"
    assert robot.info["stacked"]
    assert_legal(commands, limits, controller.period, start=commands[0])
    actors = read_episode(writer.path).actors
    assert actors[0] == "policy"
    assert actors[-1] == "person"
    assert actors.count("person") > 10
