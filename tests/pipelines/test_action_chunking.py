import numpy as np
import pytest

from dp_hf.errors import UserError
from dp_hf.pipelines.action_chunking import ActionChunker


class CountingPipeline:
    """Stands for a policy whose action says when it was predicted and for which step after that."""

    def __init__(self, pipeline):
        self.policy = pipeline.policy
        self.calls = []

    def __call__(self, image, state=None, **kwargs):
        chunk = np.array([[len(self.calls), step] + [0] * 5 for step in range(self.policy.config.horizon)])
        self.calls.append((image, state))
        return type("Output", (), {"actions": chunk[None].astype(np.float32)})


def test_receding_horizon_executes_the_first_actions_of_each_chunk(make_pipeline, frame):
    pipeline = CountingPipeline(make_pipeline(horizon=4, n_action_steps=3))
    chunker = ActionChunker(pipeline)
    actions = [tuple(chunker(frame, np.zeros(7))[:2]) for _ in range(7)]
    assert actions == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    chunker.reset()
    assert tuple(chunker(frame, np.zeros(7))[:2]) == (3, 0)


def test_history_is_the_last_observations_and_restarts(make_pipeline, frame):
    pipeline = CountingPipeline(make_pipeline(n_obs_steps=3))
    chunker = ActionChunker(pipeline)
    for step in range(4):
        chunker(f"image{step}", np.full(7, step))
    images, states = zip(*pipeline.calls, strict=True)
    assert [image[0] for image in images] == [
        ["image0", "image0", "image0"],
        ["image0", "image0", "image1"],
        ["image0", "image1", "image2"],
        ["image1", "image2", "image3"],
    ]
    assert [state[0, :, 0].tolist() for state in states][-1] == [1, 2, 3]
    chunker.reset()
    chunker("image9", np.zeros(7))
    assert pipeline.calls[-1][0][0] == ["image9"] * 3


def test_temporal_ensemble_averages_what_all_chunks_say_of_now(make_pipeline, frame):
    pipeline = CountingPipeline(make_pipeline(horizon=3))
    chunker = ActionChunker(pipeline, temporal_ensemble=0.5)
    actions = [chunker(frame, None) for _ in range(5)]
    weights = np.exp(-0.5 * np.arange(3))
    # At step 4 the chunks of calls 2, 3 and 4 hold it, at their steps 2, 1 and 0.
    np.testing.assert_allclose(actions[4][:2], weights @ [[2, 2], [3, 1], [4, 0]] / weights.sum())
    np.testing.assert_allclose(actions[0][:2], [0, 0])


def test_the_config_says_how_chunks_are_executed(make_pipeline, frame):
    config = {"horizon": 4, "n_action_steps": 2, "temporal_ensemble": 0.5}
    pipeline = CountingPipeline(make_pipeline(**config))
    own, averaged = ActionChunker(pipeline), ActionChunker(pipeline, temporal_ensemble=0.5)
    assert own.temporal_ensemble == averaged.temporal_ensemble == 0.5
    chunker = ActionChunker(pipeline, n_action_steps=3)
    for _ in range(6):
        chunker(frame, None)
    assert len(pipeline.calls) == 2


def test_a_real_pipeline_gives_one_action_a_step(make_pipeline, frame):
    chunker = ActionChunker(make_pipeline(horizon=4, n_action_steps=2, n_obs_steps=2, use_proprioception=True))
    for _ in range(3):
        assert chunker(frame, np.zeros(7, np.float32)).shape == (7,)


def test_too_many_action_steps_are_refused(make_pipeline):
    with pytest.raises(UserError, match="horizon"):
        ActionChunker(make_pipeline(horizon=4), n_action_steps=5)
