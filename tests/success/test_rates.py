import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.success.rates import wilson

counts = st.integers(1, 2000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(counts)
def test_wilson_interval(count):
    successes, trials = count
    rate = wilson(successes, trials)
    assert 0 <= rate.low <= rate.rate <= rate.high <= 1
    assert rate.low < rate.high
    mirrored = wilson(trials - successes, trials)
    assert rate.low == pytest.approx(1 - mirrored.high, abs=1e-12)
    # It holds exactly the probabilities that the normal approximation at that probability does not reject.
    for bound in {rate.low, rate.high} - {0.0, 1.0}:
        if abs(bound - rate.rate) > 1e-9:
            z = abs(rate.rate - bound) / np.sqrt(bound * (1 - bound) / trials)
            assert z == pytest.approx(1.96, abs=0.001)
    more = wilson(4 * successes, 4 * trials)
    assert more.high - more.low < rate.high - rate.low


def test_wilson_against_published_values():
    rate = wilson(91, 100)
    assert (round(rate.low, 3), round(rate.high, 3)) == (0.838, 0.952)
    assert wilson(0, 0).high == 1.0
    with pytest.raises(ValueError, match="5 successes of 3"):
        wilson(5, 3)
