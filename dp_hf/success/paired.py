"""Two policies on the same layouts: what the pairs say when their number was fixed before."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt

from dp_hf.success.rates import Rate, wilson


@dataclass(frozen=True)
class Pairs:
    """How many pairs of rollouts, one of A and one of B on the same layout, ended how."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @classmethod
    def of(cls, a: Sequence[bool], b: Sequence[bool]) -> "Pairs":
        """Counts outcomes, in the same order for both."""
        outcomes = [(bool(of_a), bool(of_b)) for of_a, of_b in zip(a, b, strict=True)]
        return cls(*(outcomes.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def number(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def a(self) -> Rate:
        return wilson(self.both + self.only_a, self.number)

    @property
    def b(self) -> Rate:
        return wilson(self.both + self.only_b, self.number)

    @property
    def difference(self) -> float:
        """How much more often B succeeded, -1 to 1."""
        return (self.only_b - self.only_a) / self.number if self.number else 0.0


def exact_mcnemar(pairs: Pairs) -> float:
    """The two-sided p-value of "as many pairs go to A alone as to B alone" (McNemar 1947), by the binomial
    distribution itself."""
    discordant = pairs.only_a + pairs.only_b
    tail = sum(comb(discordant, k) for k in range(min(pairs.only_a, pairs.only_b) + 1))
    return min(1.0, 2 * tail / 2**discordant)


def newcombe(pairs: Pairs) -> tuple[float, float]:
    """The 95 % interval of the difference B - A: the square-and-add of two Wilson intervals with the correlation of
    the pairs (Newcombe 1998, Statistics in Medicine 17:2635, method 10)."""
    if pairs.number == 0:
        return -1.0, 1.0
    a, b, correlation = pairs.a, pairs.b, _correlation(pairs)
    down = _square_and_add(b.rate - b.low, a.high - a.rate, correlation)
    up = _square_and_add(b.high - b.rate, a.rate - a.low, correlation)
    return max(-1.0, pairs.difference - down), min(1.0, pairs.difference + up)


def _square_and_add(one: float, other: float, correlation: float) -> float:
    return sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))


def _correlation(pairs: Pairs) -> float:
    """The phi coefficient, with a continuity correction where it is positive."""
    margins = (
        (pairs.both + pairs.only_a)
        * (pairs.neither + pairs.only_b)
        * (pairs.both + pairs.only_b)
        * (pairs.neither + pairs.only_a)
    )
    product = pairs.both * pairs.neither - pairs.only_a * pairs.only_b
    if margins == 0:
        return 0.0
    return (max(product - pairs.number / 2, 0) if product > 0 else product) / sqrt(margins)
