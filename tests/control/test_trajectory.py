import numpy as np
import pytest
from control_fakes import HOME
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.control.trajectory import Trajectory, ensemble, hand_over

STEP = 0.1


def ramp(horizon: int) -> np.ndarray:
    """Action i is i everywhere."""
    return np.repeat(np.arange(horizon, dtype=np.float64)[:, None], 7, axis=1)


def test_the_steps_that_inference_has_eaten_are_skipped():
    trajectory = hand_over(ramp(8), first_due=10.0, step=STEP, position=np.full(7, 2.3), sent_at=10.23, now=10.25)
    np.testing.assert_allclose(trajectory.times, [10.23, 10.3, 10.4, 10.5, 10.6, 10.7])
    np.testing.assert_allclose(trajectory.positions[:, 0], [2.3, 3, 4, 5, 6, 7])
    np.testing.assert_allclose(trajectory.at(10.45), 4.5)


def test_a_step_less_than_half_a_step_away_is_skipped_too():
    trajectory = hand_over(ramp(8), 10.0, STEP, np.zeros(7), sent_at=10.24, now=10.26)
    np.testing.assert_allclose(trajectory.times[:2], [10.24, 10.4])


def test_an_ensemble_averages_what_chunks_hold_for_the_newest_ones_times():
    chunks = [Trajectory(10 + 0.1 * (start + np.arange(3)), ramp(3) + 10 * start) for start in range(3)]
    old, middle, new = np.exp(-0.5 * np.arange(3))
    averaged = ensemble(chunks, 0.5)
    assert averaged.shape == (3, 7)
    first = (old * 2 + middle * 11 + new * 20) / (old + middle + new)
    np.testing.assert_allclose(averaged[:, 0], [first, (middle * 12 + new * 21) / (middle + new), 22])
    np.testing.assert_allclose(ensemble(chunks[-1:], 0.5), ramp(3) + 20)


def test_a_chunk_of_one_action_is_reached_in_one_step():
    trajectory = hand_over(ramp(1) + 5, 10.0, STEP, HOME, sent_at=10.03, now=10.05)
    np.testing.assert_allclose(trajectory.times, [10.03, 10.15])
    np.testing.assert_allclose(trajectory.at(10.15), 5)
    np.testing.assert_allclose(trajectory.at(99), 5)


@given(st.integers(1, 16), st.floats(0, 3), st.floats(0.001, 0.05))
def test_it_starts_at_the_last_command_and_ends_at_the_last_action(horizon, latency, period):
    now = 10.0 + latency
    trajectory = hand_over(ramp(horizon), 10.0, STEP, HOME, sent_at=now - period, now=now)
    assert (np.diff(trajectory.times) > 0).all()
    np.testing.assert_array_equal(trajectory.at(now - period), HOME)
    np.testing.assert_array_equal(trajectory.at(1e9), horizon - 1)
    # Nothing in it asks for more than twice the speed of the demonstration.
    assert trajectory.times[1] - now >= STEP / 2 - 1e-9


def test_the_range_to_come_shrinks_as_the_chunk_is_done():
    trajectory = hand_over(ramp(4), 10.0, STEP, np.zeros(7), sent_at=9.9, now=9.92)
    low, high = trajectory.range_from(10.15)
    assert low[0] == pytest.approx(1.5)
    assert high[0] == pytest.approx(3.25)  # the last action, 3, and a quarter of a step in the same direction
