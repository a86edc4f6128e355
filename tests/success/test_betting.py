"""The stop rule: exact against its closed form, and honest to somebody who looks after every pair."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.success.betting import ENOUGH, anytime_interval, evidence, is_decided, pairs_to_decide
from dp_hf.success.paired import Pairs, exact_mcnemar, newcombe

counts = st.builds(Pairs, *[st.integers(0, 60)] * 4)


@given(counts)
def test_without_a_difference_only_what_one_of_them_alone_did_counts(pairs):
    number = pairs.only_a + pairs.only_b
    closed = 2**number / ((number + 1) * comb(number, pairs.only_b))
    assert evidence(pairs) == pytest.approx(closed, rel=0.02)


@settings(max_examples=50)
@given(counts, st.floats(-0.95, 0.95))
def test_the_next_pair_is_a_fair_bet(pairs, difference):
    """Whatever the chances of the next pair are, if B - A has the assumed mean nothing is won in the mean."""
    rng = np.random.default_rng(pairs.number)
    only_b = rng.uniform(max(0, difference), (1 + difference) / 2)
    chances = {"only_b": only_b, "only_a": only_b - difference, "both": 1 - 2 * only_b + difference}
    ahead = sum(
        chance * evidence(Pairs(**{**vars(pairs), name: getattr(pairs, name) + 1}), difference)
        for name, chance in chances.items()
    )
    assert ahead == pytest.approx(evidence(pairs, difference), rel=1e-6)


def ended_by(chance, num_looks, stops):
    """The exact probability to have stopped after each discordant pair: a walk whose steps are B's with `chance`.

    Args:
        stops: whether somebody stops at `Pairs`, the same for both policies, and all the more the further apart.
    """
    alive, ended, margin = {0: 1.0}, [], 1  # by the number of B's
    for number in range(1, num_looks + 1):
        steps = [(of_b + step, p * (chance if step else 1 - chance)) for of_b, p in alive.items() for step in (0, 1)]
        alive = {}
        for of_b, p in steps:
            alive[of_b] = alive.get(of_b, 0.0) + p
        margin = max(1, margin - 1)  # the difference at which it ends changes little from look to look
        while margin <= number and (
            (number + margin) % 2 or not stops(Pairs(0, (number - margin) // 2, (number + margin) // 2, 0))
        ):
            margin += 1
        alive = {of_b: p for of_b, p in alive.items() if abs(2 * of_b - number) < margin}
        ended.append(1 - sum(alive.values()))
    return ended


def test_who_looks_after_every_pair_is_seldom_fooled():
    """The exact rate of false alarms between equal policies, in 300 pairs of which one alone succeeds."""
    assert 0.02 < ended_by(0.5, 300, is_decided)[-1] < 0.05
    assert ended_by(0.5, 300, lambda pairs: exact_mcnemar(pairs) < 0.05)[-1] > 0.25


@settings(max_examples=20)
@given(counts)
def test_the_interval_of_every_look_agrees_with_the_stop_rule(pairs):
    low, high = anytime_interval(pairs)
    assert -1 <= low <= pairs.difference <= high <= 1
    assert is_decided(pairs) == (not low <= 0 <= high)
    for outside in (low - 0.02, high + 0.02):
        assert abs(outside) >= 1 or evidence(pairs, outside) >= ENOUGH
    if pairs.number > 0:
        fixed_low, fixed_high = newcombe(pairs)
        assert high - low > fixed_high - fixed_low - 0.05
    mirrored = anytime_interval(Pairs(pairs.both, pairs.only_b, pairs.only_a, pairs.neither))
    assert mirrored == pytest.approx((-high, -low), abs=1e-6)


@pytest.mark.parametrize("pairs", [Pairs(66, 5, 14, 15), Pairs(40, 12, 6, 2), Pairs(0, 0, 3, 0)])
def test_at_the_foretold_number_about_half_of_such_comparisons_are_over(pairs):
    number = pairs_to_decide(pairs)
    discordant = pairs.only_a + pairs.only_b
    looks = round(number * discordant / pairs.number)
    over = ended_by(pairs.only_b / discordant, looks, is_decided)[-1]
    assert 0.4 < over <= 1
    assert ended_by(pairs.only_b / discordant, looks // 2, is_decided)[-1] < 0.5


def decided_at(a, b):
    """The number of the first pairs after which one who looks after each stops."""
    looks = range(1, len(a) + 1)
    return next((number for number in looks if is_decided(Pairs.of(a[:number], b[:number]))), None)


def test_nothing_decides_between_equals():
    assert pairs_to_decide(Pairs(50, 3, 3, 1)) is None
    assert pairs_to_decide(Pairs(0, 0, 0, 0)) is None
    assert evidence(Pairs(0, 0, 0, 0)) == 1
    assert pairs_to_decide(Pairs(5_000_000, 0, 1, 0)) is None
    assert decided_at([False] * 7, [True] * 7) is None
    assert decided_at([False] * 20, [True] * 20) == 8
