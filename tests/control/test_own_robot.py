"""What a robot or a policy of one's own may get wrong is one sentence, before anything moves."""

from types import SimpleNamespace

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeExecutor, FakeRobot, as_policy

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.control.controller import Controller
from dp_hf.control.recorder import record_episodes
from dp_hf.control.robot import Stamped
from dp_hf.errors import UserError


def stay(image, state):
    return np.tile(HOME, (4, 1))


def drive(robot, policy=None, **kwargs):
    executor = FakeExecutor(robot.clock)
    policy = policy or as_policy(stay)
    return Controller(robot, policy, MYCOBOT_280.limits, clock=robot.clock, executor=executor, **kwargs).run(1)


def fake(**methods):
    """A robot with these methods in the place of its own; None takes one away."""
    members = {name: method for name, method in methods.items() if method is not None}
    bare = {name: member for name, member in vars(FakeRobot).items() if name not in methods}
    return type("MyRobot", (), bare | members)(FakeClock())


def reads(value, stamp=None):
    return lambda self: Stamped(value, self.clock.now() if stamp is None else stamp)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"fault": None}, "a MyRobot is no robot: it has no fault; "),
        ({"hold": None, "finished": None}, "a MyRobot is no robot: it has no finished, hold; "),
        ({"read_state": lambda self: HOME}, r"read_state gives a ndarray of \(7,\), not Stamped\(value, time.monoton"),
        ({"read_image": lambda self: (1, 2)}, r"read_image gives a tuple, not Stamped"),
        ({"read_state": reads(HOME, stamp="now")}, "read_state gives a Stamped, not Stamped"),
        ({"read_state": reads(HOME[:6])}, r"state is a ndarray of \(6,\), not 7 numbers \(link1_to_link2, "),
        ({"read_state": reads([[1], [2, 3]])}, "state is a list, not 7 numbers"),
        ({"read_state": reads(np.array(["a"] * 7))}, r"state is a ndarray of \(7,\), not 7 numbers"),
        ({"read_state": reads(None)}, "state is a NoneType, not 7 numbers"),
        (
            {"read_image": reads(np.zeros((3, 4, 6), np.uint8))},
            r"the robot's image is a ndarray of \(3, 4, 6\), not an",
        ),
        ({"read_image": reads(np.zeros((4, 6, 3)))}, "an array of uint8"),
        ({"read_image": reads({"wrist": "a.png"})}, "the robot's wrist is a str, not an array of uint8"),
    ],
)
def test_a_robot(methods, message):
    robot = fake(**methods)
    with pytest.raises(UserError, match=message):
        drive(robot)
    assert robot.commands == []


@pytest.mark.parametrize("stamp", [1.8e9, np.nan])  # seconds since 1970, where those of time.monotonic are meant
@pytest.mark.parametrize("method", ["read_state", "read_image"])
def test_stamps_of_another_clock_never_count_as_fresh(method, stamp):
    value = HOME if method == "read_state" else np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(UserError, match=r"cannot start, the .* is stamped .*, and it is 1..\.. \(time\.monotonic\)"):
        drive(fake(**{method: reads(value, stamp)}))


def test_a_recorder_says_it_too(tmp_path):
    robot = fake(read_state=reads(HOME[:6]))
    orders = iter(["start"])
    with pytest.raises(UserError, match=r"state is a ndarray of \(6,\), not 7 numbers"):
        record_episodes(robot, tmp_path, 10, lambda: next(orders, "quit"), MYCOBOT_280.limits, print, robot.clock)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            np.zeros((1, 4, 7)),
            r"the policy gives a ndarray of \(1, 4, 7\), and not, as a pipeline does, an object whose",
        ),
        (SimpleNamespace(actions=None), "actions are a NoneType, not numbers"),
        (SimpleNamespace(actions=[[[0] * 7, [0] * 6]]), "actions are a list, not numbers"),
        (SimpleNamespace(actions=np.zeros((4, 7))), r"actions are \(4, 7\), not \(1, horizon, 7\)"),
        (SimpleNamespace(actions=np.zeros((2, 4, 7))), r"actions are \(2, 4, 7\), not"),
        (SimpleNamespace(actions=np.zeros((1, 0, 7))), r"actions are \(1, 0, 7\), not"),
        (SimpleNamespace(actions=np.zeros((1, 4, 6))), r"actions are \(1, 4, 6\), not"),
    ],
)
def test_a_policy(output, message):
    robot = FakeRobot(FakeClock())
    with pytest.raises(UserError, match=message):
        drive(robot, lambda image, state: output)
    np.testing.assert_array_equal(robot.state, HOME)


def test_actions_are_whatever_holds_numbers():
    assert drive(FakeRobot(FakeClock()), lambda image, state: SimpleNamespace(actions=[[[*map(int, HOME)]] * 4])).chunks


@pytest.mark.parametrize(
    ("seconds", "camera", "trouble"),
    [(1.0, "live", None), (1.0, "off", "the camera frame is "), (4.0, "off", None)],
)
def test_a_run_that_ends_while_the_arm_is_held_is_in_trouble(seconds, camera, trouble):
    robot = FakeRobot(FakeClock())
    executor = FakeExecutor(robot.clock)
    controller = Controller(robot, as_policy(stay), MYCOBOT_280.limits, clock=robot.clock, executor=executor)
    start = robot.clock.now()

    def unplug(moment):  # for a time
        robot.camera = camera if 0.2 < moment - start < 2 else "live"

    robot.clock.on_sleep = unplug
    controller.run(seconds)
    assert controller.trouble is None if trouble is None else controller.trouble.startswith(trouble)


def test_a_run_in_which_nothing_is_executed_is_in_trouble():
    robot = FakeRobot(FakeClock())
    far = as_policy(lambda image, state: np.tile(HOME + 90, (4, 1)))
    controller = Controller(robot, far, MYCOBOT_280.limits, clock=robot.clock, executor=FakeExecutor(robot.clock))
    controller.run(0.3)
    assert controller.trouble == "no actions of the policy could be executed"


@pytest.mark.parametrize(("n_action_steps", "is_refused"), [(0, True), (4, False), (5, True)])
def test_more_actions_than_a_chunk_has_are_refused(n_action_steps, is_refused):
    robot = FakeRobot(FakeClock())
    if is_refused:
        with pytest.raises(UserError, match=rf"n_action_steps is 1 to horizon \(4\); got {n_action_steps}"):
            drive(robot, n_action_steps=n_action_steps)
        np.testing.assert_array_equal(robot.state, HOME)
    else:
        assert drive(robot, n_action_steps=n_action_steps).starved == 0
