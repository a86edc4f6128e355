import numpy as np
import pytest
from control_fakes import HOME, assert_legal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dp_hf.arms.motion_limiter import MotionLimiter
from dp_hf.arms.mycobot_280 import MYCOBOT_280

LIMITS = MYCOBOT_280.limits
PERIOD = 0.02
anything = st.one_of(st.floats(-200, 200), st.floats(), st.sampled_from([np.nan, np.inf, -np.inf, 1e9, -1e9]))
wishes = st.tuples(
    arrays(np.float64, 7, elements=anything), arrays(np.float64, 7, elements=anything), st.integers(1, 30)
)


@settings(max_examples=200)
@given(st.lists(st.one_of(wishes, st.integers(1, 20)), min_size=1, max_size=12), st.sampled_from([0.01, 0.02, 0.1]))
def test_no_wish_makes_it_break_a_limit(moves, period):
    limiter = MotionLimiter(LIMITS, HOME, period)
    commands = []
    for move in moves:
        if isinstance(move, int):
            commands += [limiter.brake() for _ in range(move)]
        else:
            wish, velocity, ticks = move
            with np.errstate(all="ignore"):
                commands += [limiter.follow(wish, velocity, wish, wish) for _ in range(ticks)]
    while not limiter.at_rest:
        commands.append(limiter.brake())
    assert_legal(commands, LIMITS, period)


@settings(max_examples=100)
@given(arrays(np.float64, 7, elements=st.floats(0, 1)))
def test_it_arrives_and_stays_without_overshoot(fraction):
    target = LIMITS.lowest + fraction * (LIMITS.highest - LIMITS.lowest)
    limiter = MotionLimiter(LIMITS, HOME, PERIOD)
    commands = np.array([limiter.follow(target, np.zeros(7), target, target) for _ in range(150)])
    np.testing.assert_allclose(commands[-1], target, atol=1e-9)
    low, high = np.minimum(HOME, target), np.maximum(HOME, target)
    assert (commands >= low - 1e-9).all()
    assert (commands <= high + 1e-9).all()


def test_a_step_takes_the_shortest_time_that_the_acceleration_allows():
    limiter = MotionLimiter(LIMITS, HOME, PERIOD)
    target = HOME + [10, 0, 0, 0, 0, 0, 0]
    ticks = 0
    while abs(limiter.position[0] - target[0]) > 1e-6:
        limiter.follow(target, np.zeros(7), target, target)
        ticks += 1
    # Half the way speeding up and half slowing down: t = 2 sqrt(distance / acceleration).
    assert ticks * PERIOD == pytest.approx(2 * np.sqrt(10 / 286), abs=3 * PERIOD)


def test_it_follows_a_slow_line_exactly_once_it_has_caught_up():
    limiter = MotionLimiter(LIMITS, HOME, PERIOD)
    velocity = np.array([40, -30, 20, 10, -40, 0, 20], dtype=np.float64)
    for tick in range(1, 100):
        line = HOME + velocity * PERIOD * tick
        limiter.follow(line, velocity, line - 100, line + 100)
    np.testing.assert_allclose(limiter.position, line, atol=1e-9)
    np.testing.assert_allclose(limiter.velocity, velocity, atol=1e-9)


def test_after_a_stall_it_starts_from_rest():
    limiter = MotionLimiter(LIMITS, HOME, PERIOD)
    for _ in range(20):
        limiter.follow(HOME + 60, np.zeros(7), HOME - 100, HOME + 100)
    assert limiter.velocity[0] > 50
    limiter.rest()
    before = limiter.position
    after = limiter.follow(HOME + 60, np.zeros(7), HOME - 100, HOME + 100)
    assert (np.abs(after - before) <= LIMITS.acceleration * PERIOD**2 + 1e-12).all()
