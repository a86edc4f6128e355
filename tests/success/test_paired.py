"""The statistics of pairs that were counted once, against published values, exact enumeration and simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.success.paired import Pairs, exact_mcnemar, newcombe

counts = st.builds(Pairs, *[st.integers(0, 60)] * 4)


def swapped(pairs: Pairs) -> Pairs:
    return Pairs(pairs.both, pairs.only_b, pairs.only_a, pairs.neither)


def test_pairs_are_counted():
    pairs = Pairs.of([True, True, False, False, True], [True, False, True, False, True])
    assert pairs == Pairs(both=2, only_a=1, only_b=1, neither=1)
    with pytest.raises(ValueError, match="shorter"):
        Pairs.of([True], [])


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        (Pairs(36, 12, 2, 0), -0.3404, -0.0569),  # Newcombe 1998, table III, method 10, as B - A
        (Pairs(1, 1, 7, 12), 0.026, 0.507),  # Bentur 2009 in Fagerland, Lydersen and Laake 2014, table XI
    ],
)
def test_newcombe_against_published_intervals(pairs, low, high):
    assert newcombe(pairs) == pytest.approx((low, high), abs=6e-4)


@given(counts)
def test_newcombe_holds_the_difference_and_mirrors(pairs):
    low, high = newcombe(pairs)
    assert -1 <= low <= pairs.difference <= high <= 1
    assert newcombe(swapped(pairs)) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize("chances", [(0.6, 0.1, 0.2, 0.1), (0.85, 0.02, 0.1, 0.03), (0.2, 0.2, 0.2, 0.4)])
def test_newcombe_covers_the_truth(chances):
    tables = np.random.default_rng(0).multinomial(80, chances, 1000)
    intervals = np.array([newcombe(Pairs(*map(int, table))) for table in tables])
    truth = chances[2] - chances[1]
    assert ((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean() > 0.93


@pytest.mark.parametrize("discordant", [0, 1, 5, 8])
def test_mcnemar_is_the_share_of_fair_coins_that_fall_as_far_apart(discordant):
    coins = [sum(coin) for coin in product([0, 1], repeat=discordant)]
    for only_b in range(discordant + 1):
        as_far = sum(abs(2 * k - discordant) >= abs(2 * only_b - discordant) for k in coins) / len(coins)
        assert exact_mcnemar(Pairs(3, discordant - only_b, only_b, 4)) == pytest.approx(as_far)


@given(counts)
def test_mcnemar_of_swapped_policies_is_the_same(pairs):
    assert 0 < exact_mcnemar(pairs) <= 1
    assert exact_mcnemar(pairs) == exact_mcnemar(swapped(pairs))
