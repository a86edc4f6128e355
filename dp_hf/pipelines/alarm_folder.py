"""The alarm's limits in a pipeline's folder, which are those of its own weights. Free of torch."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from dp_hf.alarm.limits import FOLDER, LIMITS_FILE, REFERENCE_FILE, REMEDY, AlarmLimits
from dp_hf.errors import UserError
from dp_hf.pipelines.weights import digest_weights

logger = logging.getLogger(__name__)


def read_alarm(folder: Path, config: Any) -> AlarmLimits | None:
    """The limits in a pipeline's folder; None where it has none.

    Args:
        config: the policy's.

    Raises:
        UserError: a file that is absent or damaged, or limits of another policy.
    """
    state_dim = config.state_dim if config.use_proprioception else 0
    alarm = AlarmLimits.read(folder, len(config.camera_names), state_dim, config.action_dim)
    if alarm is not None and alarm.calibration.weights != digest_weights(folder):
        raise UserError(f"{folder / FOLDER / LIMITS_FILE}: these are limits of another policy: {REMEDY}")
    return alarm


def write_alarm(folder: Path, alarm: AlarmLimits | None) -> None:
    """Keeps the limits in a pipeline's folder that has just been written, in place of an earlier pipeline's.

    Limits that were measured with other weights are not kept.
    """
    if alarm is not None and alarm.calibration.weights != digest_weights(folder):
        logger.warning("the alarm's limits are not saved: they were measured with other weights than these")
        alarm = None
    if alarm is not None:
        alarm.write(folder)
    elif (folder / FOLDER / LIMITS_FILE).is_file() or (folder / FOLDER / REFERENCE_FILE).is_file():
        shutil.rmtree(folder / FOLDER)


def with_weights_of(folder: Path, alarm: AlarmLimits | None) -> AlarmLimits | None:
    """The same limits for the weights in a folder, which act as those that they were measured with."""
    if alarm is None:
        return None
    return replace(alarm, calibration=replace(alarm.calibration, weights=digest_weights(folder)))
