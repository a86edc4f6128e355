"""What the pairs say to somebody who looks after each of them, and stops when it is clear: a bet against "no
difference".

Whoever bets at fair odds wins money only by chance. Let d be 1 where B alone succeeds, -1 where A alone does, else 0,
and let its mean be `difference`. Staking the fraction l on every pair multiplies the money by 1 + l (d - difference),
which is 1 in the mean whatever l is, and so is the average over many l: the money is an e-value, and with probability
95 % it never reaches 20 times the stake, however often one looks (Ville 1939). Averaging over all fractions that cannot
go bankrupt is the method of mixtures (Robbins 1970, Annals of Mathematical Statistics 41:1397), as a bet on a bounded
mean that of Waudby-Smith and Ramdas (2024, JRSS B 86:1, arXiv:2010.09686). Without a difference pairs in which both
succeed or fail change nothing, and the money of n others, k of them B's, is 2^n / ((n + 1) binomial(n, k)).
"""

from math import log

import numpy as np

from dp_hf.success.paired import Pairs

ENOUGH = 20.0  # times the stake: 1 over 5 %
NUM_BETS = 1000
MOST_PAIRS = 1_000_000
_EDGE = 1e-9


def evidence(pairs: Pairs, difference: float = 0.0) -> float:
    """Against the success of B less that of A being `difference`, -1 to 1: how many times the stake a bettor has.

    Returns:
        1 for no pairs; 20 or more at some look with a probability of at most 5 % where `difference` is the truth.
    """
    return float(np.exp(min(_log_evidence(pairs.only_a, pairs.only_b, pairs.both + pairs.neither, difference), 700.0)))


def is_decided(pairs: Pairs) -> bool:
    """Whether the evidence against "no difference" is enough to stop."""
    return evidence(pairs) >= ENOUGH


def anytime_interval(pairs: Pairs) -> tuple[float, float]:
    """The differences that the evidence is not enough against: with probability 95 % the true one is among them at
    every look."""

    def bound(end: float) -> float:
        inside, outside = pairs.difference, end * (1 - _EDGE)
        if evidence(pairs, outside) < ENOUGH:
            return end
        for _ in range(40):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if evidence(pairs, middle) < ENOUGH else (inside, middle)
        return outside

    return bound(-1.0), bound(1.0)


def pairs_to_decide(pairs: Pairs) -> int | None:
    """How many pairs in all decide if they go on as they did; None where that is more than a million, or nothing
    speaks for either."""
    if pairs.only_a == pairs.only_b:
        return None
    counts = np.array([pairs.only_a, pairs.only_b, pairs.both + pairs.neither]) / pairs.number
    if not _decides(counts * MOST_PAIRS):
        return None
    low, high = 0, MOST_PAIRS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _decides(counts * middle) else (middle, high)
    return high


def _decides(counts: np.ndarray) -> bool:
    only_a, only_b, others = map(float, counts)
    return _log_evidence(only_a, only_b, others, 0.0) >= log(ENOUGH)


def _log_evidence(only_a: float, only_b: float, others: float, difference: float) -> float:
    low, high = -1 / (1 - difference), 1 / (1 + difference)  # beyond them a pair can take more than there is
    bets = low + (high - low) * (np.arange(NUM_BETS) + 0.5) / NUM_BETS
    factors = 1 + bets * (np.array([[-1.0], [1.0], [0.0]]) - difference)
    logs = np.array([only_a, only_b, others]) @ np.log(factors)
    return float(logs.max() + np.log(np.exp(logs - logs.max()).mean()))
