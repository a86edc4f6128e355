import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.simulation.environment import CONTROL_HZ, HOME
from dp_hf.simulation.expert import StackingExpert, cube_yaw
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.stacking import make_environment


@pytest.fixture(scope="module")
def env():
    return make_environment(cameras=())


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_stacks(env, noise):
    expert = StackingExpert(env, noise)
    results = [rollout(env, expert, seed, execute=expert.add_noise) for seed in range(10)]
    assert all(result.success for result in results)
    assert all(all(result.stages.values()) for result in results)
    assert np.mean([result.length for result in results]) < 50


def test_commands_are_smooth_and_the_noise_is_not_in_them(env):
    expert = StackingExpert(env, noise=0.5)
    clean, executed = [], []

    def execute(action):
        clean.append(action)
        executed.append(expert.add_noise(action))
        return executed[-1]

    rollout(env, expert, 0, execute=execute)
    clean, executed = np.array(clean), np.array(executed)
    assert np.abs(np.diff(clean[:, :6], axis=0)).max() < 16  # 160 degrees a second is the arm's limit
    noise = (executed - clean)[:, :6]
    assert 0.2 < noise.std() < 1.0
    np.testing.assert_array_equal(executed[:, 6], clean[:, 6])


def test_an_arm_of_given_limits_can_follow(env):
    """From rest, and to the last: actions are positions a step of 0.1 s apart."""
    expert, actions = StackingExpert(env, noise=0.5, limits=MYCOBOT_280.limits), []

    def execute(action):
        actions.append(action)
        return expert.add_noise(action)

    for seed in range(5):
        actions.clear()
        result = rollout(env, expert, seed, execute=execute)
        assert result.success
        velocity = np.diff([HOME, HOME, *actions], axis=0) * CONTROL_HZ
        assert (np.abs(velocity) <= MYCOBOT_280.limits.velocity * (1 + 1e-5)).all()
        acceleration = np.diff(velocity, axis=0) * CONTROL_HZ
        assert (np.abs(acceleration) <= MYCOBOT_280.limits.acceleration * (1 + 1e-3)).all()


def test_noise_while_placing_leaves_the_grasp_alone(env):
    expert = StackingExpert(env, noise=0.5, noise_phases="place")
    noisy = {}

    def execute(action):
        executed = expert.add_noise(action)
        noisy.setdefault(expert.phase, []).append((executed != action).any())
        return executed

    assert rollout(env, expert, 1, execute=execute).success
    assert all(noisy.pop("place"))
    assert not any(any(steps) for steps in noisy.values())


def test_a_lost_cube_is_grasped_anew(env):
    expert = StackingExpert(env)
    knocks = []

    def execute(action):
        if expert.phase == "place" and not knocks and env.unwrapped.yellow.xpos[2] > 0.05:
            knocks.append(True)
        elif knocks and len(knocks) < 5:
            knocks.append(True)
            return np.r_[action[:6], 100.0]
        return action

    result = rollout(env, expert, 2, execute=execute)
    assert len(knocks) == 5
    assert result.success


@given(st.floats(-44, 44), st.integers(-3, 3))
def test_quarter_turns_of_a_cube_look_the_same(yaw, quarters):
    half = np.radians(yaw + 90 * quarters) / 2
    assert cube_yaw(np.array([np.cos(half), 0, 0, np.sin(half)])) == pytest.approx(yaw, abs=1e-6)
