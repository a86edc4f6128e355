"""One owner of how a policy is executed: the choice, the weights and the history, the same for simulator and arm."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.control.policy_settings import PolicySettings
from dp_hf.errors import UserError
from dp_hf.models.policy_config import PolicyConfig
from dp_hf.pipelines.action_chunking import ActionChunker
from dp_hf.pipelines.execution import (
    Execution,
    ObservationHistory,
    choose_execution,
    ensemble_weights,
    observation_rows,
)


def policy(horizon=16, n_action_steps=8, temporal_ensemble=None):
    return SimpleNamespace(horizon=horizon, n_action_steps=n_action_steps, temporal_ensemble=temporal_ensemble)


def test_who_wins():
    averaging = policy(temporal_ensemble=0.01)
    assert choose_execution(policy()) == Execution(8, None)
    assert choose_execution(policy(), n_action_steps=3) == Execution(3, None)
    assert choose_execution(policy(), temporal_ensemble=0.5) == Execution(1, 0.5)
    assert choose_execution(averaging) == Execution(1, 0.01)
    assert choose_execution(averaging, n_action_steps=3) == Execution(3, None)
    assert choose_execution(averaging, temporal_ensemble=0.0) == Execution(1, 0.0)
    with pytest.raises(UserError, match="give one"):
        choose_execution(policy(), 3, 0.5)


@pytest.mark.parametrize("n_action_steps", [0, -3, 17, 99, 2.5])
def test_steps_that_no_chunk_has_are_refused_by_simulator_and_arm_alike(make_pipeline, n_action_steps):
    pipeline = make_pipeline(horizon=16, n_action_steps=8)
    for choose in (
        lambda: ActionChunker(pipeline, n_action_steps=n_action_steps),
        lambda: PolicySettings.from_config(pipeline.policy.config).execution(n_action_steps),
    ):
        with pytest.raises(UserError, match=r"n_action_steps is 1 to horizon \(16\); got"):
            choose()
    with pytest.raises(UserError, match=rf"n_action_steps is .*; got {n_action_steps}"):
        PolicyConfig(horizon=16, n_action_steps=n_action_steps)


@pytest.mark.parametrize("temporal_ensemble", [np.nan, np.inf, -np.inf, 50.0, -50.0])
def test_an_ensemble_without_weights_is_refused(temporal_ensemble):
    with pytest.raises(UserError, match=r"temporal_ensemble is a number such as 0\.01, at most 43\.75"):
        choose_execution(policy(), temporal_ensemble=temporal_ensemble)
    with pytest.raises(UserError, match="temporal_ensemble"):
        PolicyConfig(horizon=16, temporal_ensemble=temporal_ensemble)


@given(horizon=st.integers(1, 200), exponent=st.floats(-700, 700), count=st.data())
def test_weights_of_what_is_accepted_are_finite_and_none_vanishes(horizon, exponent, count):
    try:
        execution = choose_execution(policy(horizon, 1), temporal_ensemble=exponent / horizon)
    except UserError:  # rounding at the very edge
        return
    weights = ensemble_weights(count.draw(st.integers(1, horizon)), execution.temporal_ensemble)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), n_obs_steps=st.integers(1, 4))
def test_recorded_and_live_histories_are_the_same(lengths, n_obs_steps):
    episode_index = np.repeat(np.arange(len(lengths)) * 3, lengths)
    rows = np.arange(len(episode_index))
    history, lived = ObservationHistory(n_obs_steps), []
    for row in rows:
        if row and episode_index[row] != episode_index[row - 1]:
            history.clear()
        history.add(row)
        lived.append(history.observations())
    np.testing.assert_array_equal(observation_rows(rows, episode_index, n_obs_steps), lived)
    np.testing.assert_array_equal(observation_rows(rows[::2], episode_index, n_obs_steps), lived[::2])


def test_it_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import dp_hf.control.policy_settings, dp_hf.pipelines.execution"
    subprocess.run([sys.executable, "-c", code], check=True)
