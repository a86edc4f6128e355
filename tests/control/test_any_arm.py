"""The control loop takes its numbers from the robot: nothing in it is the myCobot's."""

import numpy as np
import pytest
from arms import FIVE, FIVE_NUMBERS
from control_fakes import FakeClock, FakeExecutor, FakeRobot, as_policy, assert_legal

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.record_demonstrations import main as record_demonstrations
from dp_hf.cli.run_policy import main as run_policy
from dp_hf.control.controller import Controller
from dp_hf.control.recorder import record_episodes
from dp_hf.control.robot import DryRun
from dp_hf.control.robots.replayed import ReplayedImages
from dp_hf.control.robots.simulated import SimulatedRobot
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.recording import Recording
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError

REST = np.array([0.2, -0.4, 60, 0.1, -30])
TARGET = np.array([1.0, 0.5, 5, 0.35, 90])


class FiveRobot(FakeRobot):
    """The described arm of five numbers."""

    quantities = FIVE_NUMBERS

    def __init__(self):
        super().__init__(FakeClock(), state=REST)


def make(function, robot=None, limits=FIVE.limits, **kwargs) -> Controller:
    robot = robot or FiveRobot()
    executor = FakeExecutor(robot.clock)
    return Controller(robot, as_policy(function), limits, clock=robot.clock, executor=executor, **kwargs)


def towards_target(image, state):
    steps = np.arange(1, 9)[:, None]
    return state + np.clip(TARGET - state, -steps * FIVE.limits.velocity / 15, steps * FIVE.limits.velocity / 15)


@pytest.mark.parametrize("temporal_ensemble", [None, 0.01])
def test_an_arm_of_five_numbers_goes_where_the_policy_wants(temporal_ensemble):
    controller = make(towards_target, n_action_steps=4, temporal_ensemble=temporal_ensemble)
    report = controller.run(duration=12)
    np.testing.assert_allclose(controller.robot.state, TARGET, rtol=0.02)
    assert_legal(controller.robot.commands, FIVE.limits, controller.period, start=REST)
    assert report.holds == report.misses == 0
    assert report.rejected == {}


def test_its_numbers_are_named_with_their_own_tolerances(caplog):
    robot = FiveRobot()
    robot.state = REST + [0, 0, 0, 0.35, 0]
    with pytest.raises(UserError, match=r"cannot start: reach is at 0\.45, more than 0\.02 from 0\.4;"):
        make(towards_target, robot).run(duration=1)
    make(lambda image, state: np.tile(REST + [0.7, 0, 0, 0, 0], (4, 1))).run(duration=1)
    assert "begins too far from the arm pan by 0.7000 radians" in caplog.text
    with pytest.raises(ValueError, match=r"the policy's actions are \(1, 4, 7\), not \(1, horizon, 5\)"):
        make(lambda image, state: np.zeros((4, 7))).run(duration=1)


def test_an_arm_that_is_pushed_away_is_named():
    controller = make(towards_target, n_action_steps=4)
    robot, reasons = controller.robot, []
    controller.observers = [lambda tick: reasons.append(tick.hold_reason)]

    def push(moment):
        if moment > 101 and robot.follows:
            robot.follows = False
            robot.state = robot.state + [0, 0, 0, 0.18, 0]

    robot.clock.on_sleep = push
    controller.run(duration=2)
    held = [reason for reason in reasons if reason is not None]
    assert held[0] == "reach is 0.1800 metres away from its command"
    assert all(reason.startswith("reach is 0.") for reason in held)


def test_limits_of_another_arm_are_refused():
    with pytest.raises(UserError, match=r"the limits are of another arm, which has 7 numbers \(link1_to_link2"):
        make(towards_target, limits=MYCOBOT_280.limits)


def test_wrappers_are_of_the_arm_that_they_wrap(record_episode, tmp_path):
    robot = FiveRobot()
    assert DryRun(robot).quantities == ReplayedImages(robot, record_episode(tmp_path)).quantities == FIVE_NUMBERS


def test_its_episodes_say_what_their_numbers_are(tmp_path):
    """Recorded from the robot as a myCobot's are, and converted with its names, units and rate."""
    robot = FiveRobot()
    robot.clock.on_sleep = lambda moment: setattr(robot, "state", REST + np.sin(moment) * np.array([0.5, 0, 20, 0, 9]))
    orders = iter(["start", *[None] * 200, "finish", None, "quit"])
    episodes = []
    record_episodes(
        robot, tmp_path / "data", 10, lambda: next(orders, "quit"), FIVE.limits, episodes.append, robot.clock
    )
    assert [episode.failure for episode in episodes] == [None]
    (episode,) = find_episodes(tmp_path / "data")
    read = read_episode(episode)
    assert read.problems == []
    assert read.recording == Recording(FIVE_NUMBERS, 10.0)
    assert read.states.shape[1] == 5
    report = convert_episodes(tmp_path / "data", tmp_path / "dataset", progress=False)
    assert report.meta.state == report.meta.action == FIVE_NUMBERS
    assert report.meta.fps == pytest.approx(10, abs=0.01)
    assert "pan, lift (radians), jaw (0..100), reach (metres), roll (degrees), as recording.json says" in str(report)
    with pytest.raises(UserError, match=r"holds episodes of another arm: this one has 7 numbers .* another folder"):
        EpisodeWriter(tmp_path / "data").__enter__()
    with pytest.raises(UserError, match="holds episodes of 10 frames a second: record at this rate instead of 20"):
        record_episodes(robot, tmp_path / "data", 20, lambda: "quit", FIVE.limits, print, robot.clock)


@pytest.mark.parametrize(("num_states", "num_actions"), [(7, 5), (5, 7)])
def test_an_environment_of_another_width_is_refused(num_states, num_actions):
    gymnasium = pytest.importorskip("gymnasium")

    class Environment(gymnasium.Env):
        metadata = {"render_fps": 50}  # noqa: RUF012
        action_space = gymnasium.spaces.Box(-1, 1, (num_actions,))

        def reset(self, *, seed=None, options=None):
            return {"state": np.zeros(num_states), "image": np.zeros((4, 6, 3), np.uint8)}, {}

    with pytest.raises(UserError, match=r"have the shape \(7,\), not one number for pan"):
        SimulatedRobot(Environment, FIVE_NUMBERS)


def test_options_that_nobody_would_look_at_are_refused(capsys):
    cases = [
        (["--robot", "ros2", "--camera.source", "0"], "--camera.source is of --robot mycobot"),
        (
            ["--robot", "sim", "--ros2.arm_topic", "/arm"],
            "--ros2.arm_topic is of --robot ros2; with --robot sim nobody",
        ),
        (["--robot", "sim", "--mycobot.speed", "10"], "--mycobot.speed is of --robot mycobot"),
        (["--robot", "mycobot", "--arm", "so101"], "--arm is for --robot ros2 and robots of your own"),
        (["--robot", "ros2", "--robot_arguments", "port=3"], "--robot_arguments are for a robot of your own"),
        (["--robot", "ur5"], "--robot ur5 is none of sim, mycobot, ros2"),
        (
            ["--robot", "ros2", "--arm", "ur5"],
            "ur5: no such file, and dp_hf has none of that name, only mycobot_280, panda",
        ),
    ]
    for options, said in cases:
        assert run_policy(["--pipeline", "nowhere", *options]) == 2
        assert said in capsys.readouterr().err
    arguments = ["--output_dir", "nowhere", "--robot", "ros2", "--camera.source", "0"]
    assert record_demonstrations(arguments) == 2
    assert "--camera.source is of --robot mycobot; with --robot ros2 nobody" in capsys.readouterr().err
