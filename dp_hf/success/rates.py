"""How often something happened, and how often it may happen."""

from dataclasses import dataclass
from math import sqrt

Z95 = 1.959964


@dataclass(frozen=True)
class Rate:
    """How often something happened, with the 95 % Wilson interval of its probability."""

    successes: int
    trials: int
    rate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.successes}/{self.trials} = {self.rate:.1%} [{self.low:.1%}, {self.high:.1%}]"


def wilson(successes: int, trials: int) -> Rate:
    """The rate with its Wilson score interval (Wilson 1927); without trials the interval is 0 to 1.

    Raises:
        ValueError: not 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if trials == 0:
        return Rate(0, 0, 0.0, 0.0, 1.0)
    rate = successes / trials
    centre = (rate + Z95**2 / (2 * trials)) / (1 + Z95**2 / trials)
    half = Z95 / (1 + Z95**2 / trials) * sqrt(rate * (1 - rate) / trials + (Z95 / (2 * trials)) ** 2)
    # Rounding may leave the rate a hair outside.
    return Rate(successes, trials, rate, min(rate, max(0.0, centre - half)), max(rate, min(1.0, centre + half)))
