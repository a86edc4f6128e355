"""The simulated arm by keys: the task can be done, what cannot be reached is not gone to, and no key makes it jump."""

import os
import pty
import time
from collections import deque
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from control_fakes import FakeClock, FakeExecutor, FakeRobot, as_policy, assert_legal
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.arms.mycobot_280 import SIMULATED_MYCOBOT_280
from dp_hf.cli.run_policy import main as run_policy
from dp_hf.control.controller import Controller
from dp_hf.control.robots.simulated import SimulatedPerson
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.reader import read_episode
from dp_hf.simulation.environment import CUBE_SIZE, HOME
from dp_hf.simulation.expert import cube_yaw
from dp_hf.simulation.stacking import make_environment
from dp_hf.simulation.teleoperation import GRIPPER_KEY, KEYS_A_STEP, LOWEST, MOVES, STEP, TURN, Teleoperation

LIMITS = SIMULATED_MYCOBOT_280.limits


@pytest.fixture(scope="module")
def env():
    env = make_environment(image_size=(24, 42))
    env.reset(seed=3)
    yield env
    env.close()


class Operator:
    """Presses a key a step, as a person would who looks where the tool is."""

    def __init__(self, env):
        env.reset(seed=3)
        self.env, self.keys = env, deque()
        self.arm = Teleoperation(env, self.keys)
        self.arm.reset()

    def press(self, key):
        self.keys.append(key)
        self.wait(1)

    def wait(self, steps=8):
        for _ in range(steps):
            self.env.step(self.arm())

    def lead(self, goal):
        """Up before sideways, and sideways before down."""
        plane = [("w", "s", 0), ("a", "d", 1)]
        for less, more, axis in sorted([*plane, ("c", "e", 2)], key=lambda move: move[2] == (goal[2] < 0.05) * 2):
            while abs(away := goal[axis] - self.arm.position[axis]) > STEP / 2 + 1e-6:
                self.press(more if away > 0 else less)
        self.wait()

    def turn(self, yaw):
        while abs(away := yaw - self.arm.yaw) > TURN / 2:
            self.press("x" if away > 0 else "z")


def test_the_cubes_can_be_stacked_by_keys(env):
    operator, scene = Operator(env), env.unwrapped
    yellow, orange = scene.yellow.xpos.copy(), scene.orange.xpos.copy()
    operator.turn(cube_yaw(scene.yellow.xquat))
    operator.lead([*yellow[:2], 0.08])
    operator.lead([*yellow[:2], LOWEST])
    operator.press(GRIPPER_KEY)
    operator.wait()
    operator.lead([*yellow[:2], 0.08])
    assert scene.stages["lifted"]
    operator.turn(0)
    operator.lead([*orange[:2], 0.08])
    over = orange + scene.tool.xpos - scene.yellow.xpos + [0, 0, CUBE_SIZE + 0.001]
    operator.lead(over)
    operator.press(GRIPPER_KEY)
    operator.wait()
    operator.lead([*over[:2], 0.12])
    assert scene.stages["stacked"]


@pytest.mark.parametrize(("out", "back"), ["ws", "sw", "ad", "da", "ec", "ce"])
def test_what_is_out_of_reach_is_not_gone_to(env, out, back):
    operator = Operator(env)
    for _ in range(150):
        operator.keys.append(out)
        operator.arm()
    furthest = operator.arm.position.copy()
    way = np.abs(furthest - env.unwrapped.tool.xpos)
    assert 0.02 < way.max() < 0.4
    assert np.sort(way)[1] < 0.02  # it is led along one line
    assert furthest[2] >= LOWEST - STEP / 2
    operator.keys.append(back)
    operator.arm()
    np.testing.assert_allclose(operator.arm.position - furthest, MOVES[back][:3], atol=STEP / 2)


def test_nothing_moves_without_a_key_and_keys_do_not_pile_up(env):
    operator = Operator(env)
    operator.keys.extend("wwww")
    operator.arm.reset()  # keys from before the arm was taken
    begin = operator.arm()
    np.testing.assert_allclose(begin[:6], HOME[:6], atol=0.1)
    operator.keys.extend(["q", *"ssssssss"])
    operator.arm()
    assert operator.arm.position[0] - env.unwrapped.tool.xpos[0] == pytest.approx(KEYS_A_STEP * STEP, abs=1e-4)


class LedRobot(FakeRobot):
    quantities = LIMITS.quantities


pressed = st.lists(st.tuples(st.floats(0, 3.5), st.sampled_from(["t", *MOVES, GRIPPER_KEY])), max_size=30)


@settings(max_examples=25, deadline=None)
@given(keys=pressed, speed=st.floats(-100, 100), held=st.sampled_from([*MOVES, GRIPPER_KEY]))
def test_whatever_keys_are_pressed_no_command_breaks_a_limit(env, keys, speed, held):
    clock = FakeClock()
    # What the arm does is simulated by its commands, so that its person does not know where the policy brought it.
    robot, queue = LedRobot(clock, state=HOME), deque()
    robot.person = SimulatedPerson(Teleoperation(env, queue), 0.1, "you, by keys")
    policy = as_policy(lambda image, state: state + speed / 10 * np.arange(1, 9)[:, None])
    controller = Controller(robot, policy, LIMITS, n_action_steps=4, clock=clock, executor=FakeExecutor(clock))
    start, due, next_step = clock.now(), sorted([(0.5, "t"), *keys]), clock.now()

    def on_sleep(now):
        nonlocal next_step
        while due and now - start >= due[0][0]:
            key = due.pop(0)[1]
            controller.toggle_person() if key == "t" else queue.append(key)
        if now >= next_step:
            next_step += 0.1
            queue.extend([held] * 3)
            robot.person.look(robot.read_image(), robot.read_state())

    clock.on_sleep = on_sleep
    controller.run(duration=4)
    assert_legal(robot.commands, LIMITS, controller.period, start=HOME)
    assert controller.takeover.count >= 1


def test_keys_need_a_terminal_and_the_simulated_arm(make_pipeline, tmp_path, capsys, monkeypatch):
    make_pipeline(horizon=8, n_action_steps=4).save_pretrained(tmp_path / "policy")
    arguments = ["--pipeline", str(tmp_path / "policy"), "--person", "keyboard"]
    assert run_policy([*arguments, "--robot", "ros2"]) == 2
    assert "--person is of --robot sim; with --robot ros2 leave it out" in capsys.readouterr().err
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert run_policy(arguments) == 2
    assert "--person keyboard: there is no terminal" in capsys.readouterr().err


def press_once_there(keyboard: int, key: bytes, folder: Path) -> None:
    while not folder.exists():
        time.sleep(0.05)
    time.sleep(0.5)
    os.write(keyboard, key)


@pytest.mark.slow
def test_a_run_is_taken_over_by_keys_and_recorded(make_pipeline, tmp_path, capsys, monkeypatch):
    make_pipeline(horizon=8, n_action_steps=4).save_pretrained(tmp_path / "policy")
    keyboard, screen = pty.openpty()
    with open(screen) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        # What was typed before the run listens is not meant for it.
        Thread(target=press_once_there, args=(keyboard, b"t", tmp_path / "runs"), daemon=True).start()
        arguments = ["--pipeline", str(tmp_path / "policy"), "--person", "keyboard", "--duration", "6"]
        assert run_policy([*arguments, "--record", str(tmp_path / "runs")]) in (0, 1)
    os.close(keyboard)
    assert "t hands the arm to you, by keys (w s a d lead the tool" in capsys.readouterr().out
    (path,) = find_episodes(tmp_path / "runs")
    assert "person" in read_episode(path).actors
