"""Limits promise few false alarms, and the promise holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.alarm.conformal import upper_limit
from dp_hf.errors import UserError


@pytest.mark.parametrize("false_alarms", [0.05, 0.2])
def test_a_further_run_is_above_its_limit_as_rarely_as_was_promised(false_alarms):
    rng = np.random.default_rng(0)
    draws = rng.lognormal(size=(4000, 31))
    above = [draw[-1] > upper_limit(draw[:-1], false_alarms) for draw in draws]
    assert 0.5 * false_alarms < np.mean(above) < 1.15 * false_alarms


@given(st.lists(st.floats(-1e6, 1e6), min_size=19, max_size=60))
def test_at_most_so_many_of_the_runs_themselves_are_above(values):
    limit = upper_limit(values, 0.05)
    assert limit in values
    assert sum(value > limit for value in values) <= 0.05 * len(values)


def test_too_few_runs_promise_nothing():
    with pytest.raises(UserError, match="18 runs that succeeded are too few to promise so few false alarms: 19 would"):
        upper_limit(np.arange(18), 0.05)
    assert upper_limit(np.arange(19), 0.05) == 18
