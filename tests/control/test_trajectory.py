import numpy as np
import pytest
from control_fakes import HOME
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.control.trajectory import Chunk, ensemble, hand_over, smooth

STEP = 0.1


AT_REST = np.zeros(7)


def ramp(horizon: int) -> np.ndarray:
    """Action i is i everywhere."""
    return np.repeat(np.arange(horizon, dtype=np.float64)[:, None], 7, axis=1)


def chunk_of(actions: np.ndarray, first_due: float = 10.0) -> Chunk:
    return Chunk(first_due + STEP * np.arange(len(actions)), actions)


def test_the_steps_that_inference_has_eaten_are_skipped():
    trajectory = hand_over(chunk_of(ramp(8)), STEP, np.full(7, 2.3), np.full(7, 10.0), sent_at=10.23, now=10.25)
    np.testing.assert_allclose(trajectory.times, [10.23, 10.3, 10.4, 10.5, 10.6, 10.7])
    np.testing.assert_allclose(trajectory.positions[:, 0], [2.3, 3, 4, 5, 6, 7])
    np.testing.assert_allclose(trajectory.at(10.45), 4.5)


def test_a_step_less_than_half_a_step_away_is_skipped_too():
    trajectory = hand_over(chunk_of(ramp(8)), STEP, np.zeros(7), AT_REST, sent_at=10.24, now=10.26)
    np.testing.assert_allclose(trajectory.times[:2], [10.24, 10.4])


def test_an_ensemble_averages_what_chunks_hold_for_the_newest_ones_times():
    chunks = [chunk_of(ramp(3) + 10 * start, 10 + 0.1 * start) for start in range(3)]
    old, middle, new = np.exp(-0.5 * np.arange(3))
    averaged = ensemble(chunks, 0.5)
    np.testing.assert_array_equal(averaged.due, chunks[-1].due)
    assert averaged.actions.shape == (3, 7)
    first = (old * 2 + middle * 11 + new * 20) / (old + middle + new)
    np.testing.assert_allclose(averaged.actions[:, 0], [first, (middle * 12 + new * 21) / (middle + new), 22])
    np.testing.assert_allclose(ensemble(chunks[-1:], 0.5).actions, ramp(3) + 20)


def test_a_chunk_of_one_action_is_reached_in_one_step():
    trajectory = hand_over(chunk_of(ramp(1) + 5), STEP, HOME, AT_REST, sent_at=10.03, now=10.05)
    np.testing.assert_allclose(trajectory.times, [10.03, 10.15])
    np.testing.assert_allclose(trajectory.at(10.15), 5)
    np.testing.assert_allclose(trajectory.at(99), 5)


@given(st.integers(1, 16), st.floats(0, 3), st.floats(0.001, 0.05))
def test_it_starts_at_the_last_command_and_ends_at_the_last_action(horizon, latency, period):
    now = 10.0 + latency
    trajectory = hand_over(chunk_of(ramp(horizon)), STEP, HOME, AT_REST, sent_at=now - period, now=now)
    assert (np.diff(trajectory.times) > 0).all()
    np.testing.assert_array_equal(trajectory.at(now - period), HOME)
    np.testing.assert_array_equal(trajectory.at(1e9), horizon - 1)
    # No action in it is to be reached in less than half the time of the demonstration.
    assert trajectory.times[1] - now >= STEP / 2 - 1e-9


steps = st.floats(0.02, 1.0)
points = st.floats(-180, 180)


@given(st.lists(st.tuples(steps, points), min_size=3, max_size=8), points)
def test_a_trajectory_is_smooth_and_does_not_swing_beyond_its_positions(ways, velocity):
    """Equal velocities on both sides of every position, the first as asked; between two of them no third value."""
    times, positions = np.cumsum([step for step, _ in ways]), np.array([[point] for _, point in ways])
    trajectory = smooth(times, positions, np.array([velocity]))
    np.testing.assert_allclose([trajectory.at(time) for time in times], positions, atol=1e-9)
    np.testing.assert_allclose((trajectory.at(times[0] + 1e-7) - positions[0]) / 1e-7, velocity, atol=1.0)
    for time in times[1:-1]:
        before, after = ((trajectory.at(time + side) - trajectory.at(time)) / side for side in (-1e-7, 1e-7))
        np.testing.assert_allclose(before, after, atol=1.0)
    for start, end, one, other in zip(times[1:], times[2:], positions[1:], positions[2:], strict=False):
        between = np.stack([trajectory.at(time) for time in np.linspace(start, end, 20)])
        low, high = np.minimum(one, other) - 1e-9, np.maximum(one, other) + 1e-9
        assert ((low <= between) & (between <= high)).all()


def test_a_steady_motion_goes_on_in_a_straight_line():
    trajectory = hand_over(chunk_of(ramp(8)), STEP, np.full(7, 2.3), np.full(7, 10.0), sent_at=10.23, now=10.25)
    for time in np.linspace(10.23, 10.7, 30):
        np.testing.assert_allclose(trajectory.at(time), (time - 10) / STEP, atol=1e-9)


def test_the_range_to_come_shrinks_as_the_chunk_is_done():
    trajectory = hand_over(chunk_of(ramp(4)), STEP, np.zeros(7), np.full(7, 10.0), sent_at=9.9, now=9.92)
    low, high = trajectory.range_from(10.15)
    assert low[0] == pytest.approx(1.5)
    assert high[0] == pytest.approx(3.25)  # the last action, 3, and a quarter of a step in the same direction
