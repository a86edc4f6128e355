from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from dp_hf.errors import UserError
from dp_hf.pipelines.loading import digest_pipeline, load_pipeline
from dp_hf.simulation.evaluation import summarize
from dp_hf.simulation.expert import expert_policy
from dp_hf.simulation.kept_rollouts import Episode, run_kept
from dp_hf.simulation.layouts import EVALUATION
from dp_hf.simulation.policies import AtOwnRate, TimedChunker, pipeline_policy
from dp_hf.simulation.rollouts import rollout, run_rollouts
from dp_hf.simulation.stacking import STACKING, make_environment
from dp_hf.workers.workers import Workers

EVALUATION_SEED = EVALUATION.start
SMALL = {"cameras": ("front",), "image_size": (60, 106)}


def test_rollouts_keep_the_order_of_seeds():
    seeds = [EVALUATION_SEED + 3, EVALUATION_SEED, EVALUATION_SEED + 1]
    results = run_rollouts(STACKING, expert_policy, seeds, SMALL)
    assert [result.seed for result in results] == seeds
    assert all(result.success for result in results)


def test_the_first_rollouts_keep_their_frames(tmp_path):
    seeds = [EVALUATION_SEED + 3, EVALUATION_SEED]
    policies, scenes = {"": (expert_policy, SMALL["cameras"])}, {"": {"image_size": SMALL["image_size"]}}
    done = run_kept(STACKING, policies, scenes, seeds, tmp_path / "kept.jsonl", {}, num_videos=1)
    results = [done[Episode("", "", seed)] for seed in seeds]
    assert [len(result.frames) for result in results] == [results[0].length, 0]
    assert results[0].frames[0].shape == (60, 106, 3)


def test_several_processes_find_the_same_as_one():
    seeds = range(EVALUATION_SEED, EVALUATION_SEED + 3)
    options = {"cameras": ()}
    one = run_rollouts(STACKING, expert_policy, seeds, options)
    assert run_rollouts(STACKING, expert_policy, seeds, options, workers=Workers(2)) == one


@pytest.fixture
def saved(tmp_path, monkeypatch, make_pipeline):
    """A function that saves a pipeline as `policy` in a new working folder, and says which it is for rollouts."""
    made = iter(range(9))

    def save(**options):
        folder = tmp_path / str(next(made))
        folder.mkdir()
        monkeypatch.chdir(folder)
        make_pipeline(**options).save_pretrained("policy")
        return {"task": STACKING, "pipeline": "policy", "digest": digest_pipeline(load_pipeline("policy", "cpu"))}

    return save


def test_a_pipeline_in_closed_loop(saved):
    options = saved(horizon=4, n_action_steps=3, use_proprioception=True)
    make_policy = partial(pipeline_policy, **options, num_inference_steps=2)
    env = make_environment(**SMALL)
    result = rollout(env, make_policy(env, 1), EVALUATION_SEED)
    assert result.length == 150
    assert len(result.latencies) == 50
    summary = summarize([result])
    assert 0 < summary.latency_p50 <= summary.latency_p99
    assert summary.rates["stacked"].successes == 0


def test_what_acts_is_the_policy_that_the_command_has_loaded(saved, make_pipeline):
    env = make_environment(cameras=())
    one = saved(horizon=4)
    assert pipeline_policy(env, 1, **one).chunker.pipeline.policy.config.horizon == 4
    assert pipeline_policy(env, 1, **saved(horizon=2)).chunker.pipeline.policy.config.horizon == 2
    other = saved(horizon=8)
    make_pipeline(horizon=16).save_pretrained("policy")
    with pytest.raises(UserError, match="policy: another policy has taken its place since the command began"):
        pipeline_policy(env, 1, **other)


def test_samples_of_a_pipeline_follow_from_the_seed(saved):
    options = saved(horizon=4, use_proprioception=True)
    policies = [pipeline_policy(make_environment(cameras=()), seed, **options) for seed in (1, 1, 2)]
    image, state = np.zeros((24, 42, 3), np.uint8), np.zeros(7, np.float32)
    one, same, other = (policy(image, state) for policy in policies)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_several_cameras_reach_the_policy_by_name(make_pipeline):
    pipeline = make_pipeline(camera_names=("front", "wrist"), horizon=2)
    env = make_environment(cameras=("front", "wrist"), image_size=(24, 42))
    seen = []
    rollout(env, TimedChunker(pipeline, num_inference_steps=1), 0, on_step=lambda image, *_: seen.append(set(image)))
    assert seen[0] == {"front", "wrist"}


def test_the_only_camera_of_a_policy_is_the_one_in_front():
    assert STACKING.cameras_of(("image",)) == ("front",)
    assert STACKING.cameras_of(("wrist",)) == ("wrist",)
    assert STACKING.cameras_of(["front", "wrist"]) == ("front", "wrist")
    with pytest.raises(UserError, match="has front, wrist: say by --camera_names which"):
        replace(STACKING, cameras=("front", "wrist")).cameras_of(("image",))


@pytest.mark.parametrize(("fps", "steps"), [(10.0, 1), (9.7, 1), (5.0, 2), (2.5, 4), (1.0, 10)])
def test_an_action_lasts_as_long_as_the_policy_learned(make_pipeline, fps, steps):
    policy = AtOwnRate(
        TimedChunker(make_pipeline(horizon=3, n_action_steps=3, fps=fps), num_inference_steps=1), STACKING.fps
    )
    frame, state = np.zeros((24, 42, 3), np.uint8), np.zeros(7)
    for _ in range(2):
        policy.reset()
        actions = np.stack([policy(frame, state) for _ in range(6 * steps)]).reshape(6, steps, 7)
        assert (actions == actions[:, :1]).all()
        assert len(np.unique(actions[:, 0], axis=0)) == 6
        assert len(policy.latencies) == 2


@pytest.mark.parametrize("fps", [30.0, 20.0, 7.0, 4.0])
def test_a_rate_that_the_simulator_cannot_keep_is_refused(make_pipeline, fps):
    with pytest.raises(UserError, match=f"acts {fps:g} times a second, and the simulator moves 10"):
        AtOwnRate(TimedChunker(make_pipeline(fps=fps)), STACKING.fps)
