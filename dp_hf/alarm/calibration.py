"""Limits from the scores of runs that succeeded."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dp_hf.alarm.conformal import upper_limit
from dp_hf.alarm.limits import EVERY, LIMITED, AlarmLimits, Calibration
from dp_hf.alarm.record import RunRecord
from dp_hf.alarm.reference import Reference
from dp_hf.errors import UserError


def without_limits(reference: Reference, n_action_steps: int, temporal_ensemble: float | None) -> AlarmLimits:
    """With which runs are scored and none is strange; arguments as in `Calibration`."""
    nothing = dict.fromkeys(EVERY, np.inf)
    calibration = Calibration("", 0.5, 1, 1, n_action_steps, temporal_ensemble)
    return AlarmLimits(dict.fromkeys(LIMITED, np.inf), nothing, nothing, calibration, reference)


def calibrated(
    scored: AlarmLimits, successes: Sequence[RunRecord], num_runs: int, false_alarms: float, weights: str
) -> AlarmLimits:
    """The limits that runs which succeeded give.

    Each of `LIMITED` has an equal share of the false alarms.

    Args:
        scored: what they were scored with, see `without_limits`.
        successes: those runs.
        num_runs: how many there were in all.
        false_alarms, weights: see `Calibration`.

    Raises:
        UserError: too few succeeded.
    """
    if not successes:
        raise UserError(f"none of {num_runs} runs succeeded: there is nothing to set limits by")
    peaks = {name: np.array([run.series(name).max() for run in successes]) for name in EVERY}
    usual = {name: float(np.median(values)) for name, values in peaks.items()}
    share = false_alarms / len(LIMITED)
    return AlarmLimits(
        {name: upper_limit(peaks[name], share) for name in LIMITED},
        {name: upper_limit(values, false_alarms) for name, values in peaks.items()},
        usual,
        replace(
            scored.calibration,
            weights=weights,
            false_alarms=false_alarms,
            num_successes=len(successes),
            num_runs=num_runs,
        ),
        scored.reference,
    )
