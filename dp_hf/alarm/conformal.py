"""Limits from runs that succeeded alone, by conformal prediction."""

import math
from collections.abc import Sequence

import numpy as np

from dp_hf.errors import UserError


def require_enough(num_runs: int, false_alarms: float) -> None:
    """Raises `UserError` where so few runs cannot promise so few false alarms."""
    needed = math.ceil(1 / false_alarms - 1e-9) - 1
    if num_runs < needed:
        raise UserError(
            f"{num_runs} runs that succeeded are too few to promise so few false alarms: {needed} would do; measure "
            "more, or allow more --false_alarms"
        )


def upper_limit(values: Sequence[float] | np.ndarray, false_alarms: float) -> float:
    """What a further value is above with a probability of at most `false_alarms`, if it is drawn as these were.

    The ceil((n + 1) (1 - false_alarms))-th smallest of n (Vovk et al. 2005; for runs of a policy Xu et al. 2025,
    arXiv:2503.08558).

    Raises:
        UserError: see `require_enough`.
    """
    require_enough(len(values), false_alarms)
    rank = math.ceil((len(values) + 1) * (1 - false_alarms) - 1e-9)
    return float(np.sort(np.asarray(values, np.float64))[rank - 1])
