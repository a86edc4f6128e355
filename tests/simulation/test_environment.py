import copy
import multiprocessing
import pickle
import threading
import warnings
from functools import partial

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.errors import UserError
from dp_hf.simulation import ENVIRONMENT_ID
from dp_hf.simulation.environment import HOME, STAGES, CubeStackingEnv
from dp_hf.simulation.layouts import sample_layout
from dp_hf.simulation.stacking import make_environment


@pytest.mark.parametrize("options", [{}, {"cameras": ("front", "wrist"), "image_size": (60, 106)}, {"cameras": ()}])
def test_gymnasium_finds_nothing_wrong(options):
    env = gymnasium.make(ENVIRONMENT_ID, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("error")
        # Joint targets in degrees are the point of this environment.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")
        check_env(env.unwrapped, skip_render_check=True)


def test_observation_is_what_the_cameras_see_and_the_joints_are():
    env = make_environment()
    observation, info = env.reset(seed=0)
    np.testing.assert_allclose(observation["state"], HOME, atol=0.01)
    image = observation["image"].astype(int)
    assert image.shape == (240, 424, 3)
    red, green, blue = np.moveaxis(image, -1, 0)
    for yellowness, (_, y, _) in zip((red + green - 2 * blue, 2 * red - 2 * green - blue), info["layout"], strict=True):
        rows, columns = np.nonzero(yellowness > 0.7 * yellowness.max())
        # The camera looks back at the arm: the arm's left (+y) is on the right.
        assert np.sign(columns.mean() - 212) == np.sign(y)
        assert 60 < rows.mean() < 220
    assert not any(info[stage] for stage in STAGES)


def test_the_described_arm_ends_where_the_scene_does():
    """MuJoCo reads its joints' ranges from the scene, and control reads an arm's limits from its description."""
    space, arm = CubeStackingEnv(cameras=()).action_space, CubeStackingEnv.arm
    scene = np.array(arm.limits.positions["scene"])
    np.testing.assert_allclose(space.low, scene[:, 0], rtol=1e-6)
    np.testing.assert_allclose(space.high, scene[:, 1], rtol=1e-6)


def test_a_seed_gives_the_same_episode():
    options = {"camera_shift": 20.0, "camera_turn": 3.0, "light_jitter": 0.3}
    action = np.array(HOME, np.float32) + [5, -10, 0, 0, 0, 0, -50]
    runs = []
    for env in (make_environment(**options), make_environment(**options)):
        first, info = env.reset(seed=7)
        after = env.step(action)[0]
        runs.append((first["image"], info["layout"], after["image"], after["state"]))
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_randomisation_changes_the_picture_and_not_the_layout():
    plain, _ = (env := make_environment()).reset(seed=3)
    for options in ({"camera_shift": 20.0}, {"camera_turn": 3.0}, {"light_jitter": 0.5}, {"shadows": True}):
        other = make_environment(**options)
        observation, info = other.reset(seed=3)
        assert np.abs(observation["image"].astype(int) - plain["image"]).mean() > 0.5, options
        np.testing.assert_array_equal(info["layout"], env.unwrapped.layout)


def test_an_action_is_the_state_that_is_reached():
    env = make_environment(cameras=())
    env.reset(seed=0)
    target = np.array(HOME) + [20, -10, 5, -5, 10, -20, -60]
    for progress in np.linspace(0.1, 1, 10):
        env.step(np.array(HOME) + progress * (target - HOME))
    for _ in range(5):
        observation, *_ = env.step(target)
    np.testing.assert_allclose(observation["state"], target, atol=0.5)


def test_actions_beyond_the_limits_are_clipped_and_wrong_ones_refused():
    env = make_environment(cameras=())
    env.reset(seed=0)
    observation, *_ = env.step(np.full(7, 1e4))
    assert env.observation_space.contains(observation)
    for action in (np.full(7, np.nan), np.zeros(6)):
        with pytest.raises(ValueError, match="7 finite numbers"):
            env.step(action)


def test_stages_are_told_from_the_cubes():
    env = make_environment(cameras=())
    env.reset(seed=0)
    yellow, orange = env.unwrapped.data.joint("yellow"), env.unwrapped.data.joint("orange")
    yellow.qpos[:3] = orange.qpos[:3] + [0.011, 0, 0.0252]
    yellow.qpos[3:] = orange.qpos[3:]
    outcomes = [env.step(np.array(HOME)) for _ in range(6)]
    infos = [outcome[-1] for outcome in outcomes]
    assert infos[0]["placed"]
    assert not infos[3]["stacked"]
    assert infos[5]["stacked"]
    assert [outcome[1] for outcome in outcomes][-1] == 1.0
    assert not infos[5]["grasped"]

    env.reset(seed=0)
    yellow.qpos[:3] = orange.qpos[:3] + [0.014, 0, 0.0252]
    assert not env.step(np.array(HOME))[-1]["placed"]


def test_the_step_limit_ends_an_episode():
    env = make_environment(cameras=())
    env.reset(seed=0)
    truncated = [env.step(np.array(HOME))[3] for _ in range(150)]
    assert truncated == [False] * 149 + [True]


def test_unknown_camera():
    with pytest.raises(UserError, match="front, side, wrist"):
        CubeStackingEnv(cameras=("top",))


ranges = st.tuples(st.floats(-0.3, 0.3), st.floats(0.05, 0.3)).map(lambda r: (r[0], r[0] + r[1]))


@settings(max_examples=50)
@given(ranges, ranges, st.integers(0, 2**32))
def test_layouts_keep_to_their_ranges(x_range, y_range, seed):
    layout = sample_layout(np.random.default_rng(seed), x_range, y_range, (-15, 15), 0.04)
    assert ((layout[:, 0] >= x_range[0]) & (layout[:, 0] <= x_range[1])).all()
    assert ((layout[:, 1] >= y_range[0]) & (layout[:, 1] <= y_range[1])).all()
    assert np.linalg.norm(layout[0, :2] - layout[1, :2]) > 0.04


def test_layouts_without_room_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="do not fit"):
        sample_layout(rng, (0.1, 0.12), (0, 0.01), (0, 0), 0.06)
    with pytest.raises(UserError, match=r"\(low, high\)"):
        sample_layout(rng, (0.2, 0.1), (0, 0.1), (0, 0), 0.06)


def test_the_arm_has_the_measures_of_a_mycobot_280():
    env = make_environment(cameras=()).unwrapped
    mujoco.mj_resetData(env.model, env.data)
    mujoco.mj_forward(env.model, env.data)
    # Stretched upwards: the flange is 95 mm behind the tool point.
    flange = env.tool.xpos - 0.095 * env.tool.xmat.reshape(3, 3)[:, 2]
    np.testing.assert_allclose(flange, [0.0456, -0.06462, 0.13156 + 0.1104 + 0.096 + 0.07318], atol=1e-6)


def test_images_larger_than_the_scene_has():
    with pytest.raises(UserError, match="1080 x 1920"):
        CubeStackingEnv(image_size=(1500, 2000))


def same(one, other):
    return all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_where_the_environment_is(copied):
    env = make_environment(image_size=(24, 42), camera_turn=3.0, light_jitter=0.3)
    env.reset(seed=0)
    action = np.array(HOME) + [5, -10, 0, 0, 0, 0, -50]
    env.step(action)
    other = copied(env)
    for _ in range(3):
        (ours, *_, info), (theirs, *_, their_info) = env.step(action), other.step(action)
        assert same(ours, theirs)
        assert same(info, their_info)
    # It is another one, with its own future.
    other.step(np.array(HOME))
    assert not same(env.step(action)[0], other.step(action)[0])
    other = copied(env)
    assert same(env.reset()[0], other.reset()[0])


def test_threads_may_take_turns_and_drop_the_environment():
    env = make_environment(image_size=(24, 42))
    first, _ = env.reset(seed=0)
    seen = []

    def work(env):
        seen.append(env.reset(seed=0)[0])
        env.close()

    for _ in range(2):
        (thread := threading.Thread(target=work, args=(env,))).start()
        thread.join()
        seen.append(env.reset(seed=0)[0])
    assert len(seen) == 4
    assert all(same(first, one) for one in seen)


@pytest.mark.parametrize(("start_method", "parent_renders"), [("spawn", True), ("fork", False), ("fork", True)])
def test_gymnasiums_processes(start_method, parent_renders):
    """Run in a process that has rendered nothing, with gymnasium's own workers; each of the three ends."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=step_in_processes, args=(start_method, parent_renders))
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 0


def step_in_processes(start_method, parent_renders):
    make = partial(make_environment, image_size=(24, 42))
    if parent_renders:
        make().reset(seed=0)
    warnings.simplefilter("ignore")  # it tells of its workers' errors by warnings
    envs = gymnasium.vector.AsyncVectorEnv([make, make], context=start_method)
    if start_method == "fork" and parent_renders:
        with pytest.raises(UserError, match="spawn"):
            envs.reset(seed=0)
    else:
        observations, _ = envs.reset(seed=0)
        observations, *_ = envs.step(observations["state"])
        assert observations["image"].shape == (2, 24, 42, 3)
        alone = make()
        alone.reset(seed=1)
        assert np.array_equal(alone.step(alone.unwrapped.state())[0]["image"], observations["image"][1])
    envs.close()


def test_finer_control_steps_are_the_same_motion_and_the_same_push():
    coarse, fine = CubeStackingEnv(cameras=()), CubeStackingEnv(cameras=(), control_hz=50, push=20)
    pushed = CubeStackingEnv(cameras=(), push=20)
    assert fine.metadata["render_fps"] == 50
    for env in (coarse, fine, pushed):
        env.reset(seed=3)
    last, moved = np.array(HOME), 0.0
    for step in range(25):
        action = np.array(HOME) + 20 * np.sin(step / 5)
        coarse.step(action)
        pushed.step(action)
        for part in range(1, 6):
            fine.step(last + part / 5 * (action - last))
        last = np.clip(action, fine.action_space.low, fine.action_space.high)
        np.testing.assert_allclose(fine.state(), pushed.state(), atol=1e-3)
        moved = max(moved, np.abs(coarse.state() - pushed.state()).max())
    assert moved > 1
    with pytest.raises(UserError, match="control_hz divides 500"):
        CubeStackingEnv(cameras=(), control_hz=60)
