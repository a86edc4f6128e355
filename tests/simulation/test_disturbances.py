import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.disturbances import TABLE, Disturbances
from dp_hf.errors import UserError
from dp_hf.simulation.distractors import CUBE_DISTANCE, DISTANCE
from dp_hf.simulation.environment import HOME, CubeStackingEnv
from dp_hf.simulation.expert import StackingExpert
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.sensor import Sensor
from dp_hf.simulation.stacking import make_environment
from dp_hf.simulation.surfaces import NUM_SURFACES, surface

SMALL = {"image_size": (60, 106)}
SEEN = [scene for scene in TABLE if scene not in ("nominal", "push 20")]


def episode(env, seed, num_steps=2):
    """Layout, pictures, states and the expert's noisy actions of the first steps."""
    observation, info = env.reset(seed=seed)
    expert = StackingExpert(env, noise=0.5)
    expert.reset()
    rows = [info["layout"], observation["image"], observation["state"]]
    for _ in range(num_steps):
        action = expert.add_noise(expert())
        observation, *_ = env.step(action)
        rows += [action, observation["image"], observation["state"]]
    return rows


@pytest.mark.parametrize("scene", TABLE)
def test_layouts_and_the_experts_noise_are_those_of_the_nominal_scene(scene):
    nominal, disturbed, again = (
        episode(make_environment(**SMALL, **options.options()), 3)
        for options in (Disturbances(), TABLE[scene], TABLE[scene])
    )
    for one, other in zip(disturbed, again, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(disturbed[0], nominal[0])
    for one, other in zip(disturbed[3::3], nominal[3::3], strict=True):
        # Distractors make another model, whose physics rounds otherwise.
        np.testing.assert_allclose(one, other, atol=1e-3)
    assert (np.abs(disturbed[1].astype(int) - nominal[1]).mean() > 0.05) == (scene in SEEN)


def test_an_environment_that_may_be_disturbed_and_is_not_is_the_nominal_one():
    """Bit by bit; with distractors there are other bodies, so not with those."""
    off = {**TABLE["all together"].options(), "distractors": 0, "disturbed_share": 0.0}
    for one, other in zip(*(episode(make_environment(**SMALL, **o), 5) for o in ({}, off)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_of_an_episode_stays_for_the_next():
    env = make_environment(**SMALL, **TABLE["all together"].options() | {"disturbed_share": 0.5})
    first = episode(env, 1)
    for seed in range(2, 8):
        env.reset(seed=seed)
    for one, other in zip(first, episode(env, 1), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_is_disturbed_as_the_original(copied):
    env = make_environment(**SMALL, **TABLE["all together"].options())
    env.reset(seed=4)
    env.step(np.array(HOME))
    other = copied(env)
    for _ in range(2):
        for one, two in zip(env.step(np.array(HOME))[0].values(), other.step(np.array(HOME))[0].values(), strict=True):
            np.testing.assert_array_equal(one, two)
    for one, two in zip(episode(env, 9), episode(other, 9), strict=True):
        np.testing.assert_array_equal(one, two)


@given(st.floats(0, 1), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_each_disturbance_takes_part_in_its_share_of_episodes(share, seed):
    disturbances = Disturbances(push=20.0, surfaces=10, shadows=True, disturbed_share=share)
    rng = np.random.default_rng(seed)
    parts = [disturbances.of_one_episode(rng) for _ in range(200)]
    for name, value in (("push", 20.0), ("surfaces", 10), ("shadows", True)):
        assert {getattr(part, name) for part in parts} <= {value, type(value)(0)}
        present = np.mean([getattr(part, name) == value for part in parts])
        assert abs(present - share) <= 0.02 + 5 * np.sqrt(share * (1 - share) / 200)


def test_options_are_refused_by_name():
    with pytest.raises(UserError, match="surfaces"):
        CubeStackingEnv(cameras=(), surfaces=11)
    with pytest.raises(TypeError, match="fog"):
        CubeStackingEnv(cameras=(), fog=1.0)


def test_a_push_moves_the_hand_by_its_distance_and_lets_it_go():
    still, pushed = make_environment(cameras=()).unwrapped, make_environment(cameras=(), push=20.0).unwrapped
    for seed in range(5):
        still.reset(seed=seed)
        pushed.reset(seed=seed)
        distances = []
        for _ in range(30):
            still.step(np.array(HOME))
            pushed.step(np.array(HOME))
            distances.append(np.linalg.norm(pushed.tool.xpos - still.tool.xpos))
        begin, height = pushed.push.start, max(distances)
        assert distances[begin - 1] == 0
        assert 0.017 < height < 0.022
        assert distances.index(height) in (begin + 2, begin + 3)
        assert distances[-1] < 0.002
        assert not pushed.data.qfrc_applied.any()


def test_distractors_lie_apart_and_out_of_the_way_when_there_are_none():
    env = make_environment(cameras=(), distractors=3).unwrapped
    for seed in range(30):
        _, info = env.reset(seed=seed)
        places = np.array([env.data.body(f"distractor{i}").xpos for i in range(3)])
        assert np.linalg.norm(places[:, None, :2] - info["layout"][:, :2], axis=2).min() > CUBE_DISTANCE
        apart = np.linalg.norm(places[:, None, :2] - places[:, :2], axis=2) + np.eye(3)
        assert apart.min() > DISTANCE
        assert (places[:, 2] < 0.018).all()
        assert env.data.ncon == 0 or env.data.contact.dist.min() > -1e-3
    env = make_environment(cameras=(), distractors=3, disturbed_share=0.0).unwrapped
    env.reset(seed=0)
    assert env.data.body("distractor0").xpos[0] > 5


def test_a_sensor_darkens_blurs_and_adds_noise():
    picture = np.full((60, 106, 3), 120, np.uint8)
    picture[:, 53:] = 20
    seen = [Sensor(1.0, np.random.default_rng(seed))(picture) for seed in range(20)]
    levels = [image[:, :40].mean() for image in seen]
    assert 95 < min(levels) < 110 < 130 < max(levels) < 145
    assert 1 < np.std(seen[0][:, :40]) < 6  # the compression takes some of the noise
    edge = seen[0].mean((0, 2))
    assert edge[50] > edge[52] > edge[53] > edge[55]
    assert Sensor(0.0, np.random.default_rng(0))(picture) is picture


def test_surfaces_are_told_apart():
    means = [surface(number).mean((0, 1)) for number in range(NUM_SURFACES)]
    spreads = [surface(number).std() for number in range(NUM_SURFACES)]
    assert len({tuple(np.round(np.r_[mean, spread] / 8)) for mean, spread in zip(means, spreads, strict=True)}) == 10
    assert min(np.mean(mean) for mean in means) > 40


def test_both_cubes_turn_their_hue_together():
    env = make_environment(cameras=(), hue_jitter=0.1).unwrapped
    for seed in range(20):
        env.reset(seed=seed)
        yellow, orange = (env.model.material(name).rgba for name in ("yellow", "orange"))
        assert yellow[1] > orange[1] + 0.2  # the yellow one is always the one nearer to green


@pytest.mark.parametrize(
    "scene", [pytest.param(s, marks=() if s in ("push 20", "all together") else pytest.mark.slow) for s in TABLE]
)
def test_the_expert_stacks_in_every_scene(scene):
    env = make_environment(cameras=(), **TABLE[scene].options())
    expert = StackingExpert(env)
    assert sum(rollout(env, expert, 2**30 + seed).success for seed in range(5)) == 5
