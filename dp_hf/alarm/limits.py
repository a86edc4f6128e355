"""`AlarmLimits`: what a policy's scores do not exceed in runs that succeed; kept in the pipeline's folder."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp_hf.alarm.reference import NEIGHBORS, Reference
from dp_hf.alarm.scores import PICTURE, PROGRESS, SCORES, TIME
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, read_json
from dp_hf.tensor_file import read_float32

FOLDER = "alarm"  # of a pipeline's folder
LIMITS_FILE, REFERENCE_FILE = "limits.json", "reference.safetensors"
VERSION = 1
LIMITED = (*SCORES, TIME)
EVERY = (*LIMITED, PROGRESS, PICTURE)


@dataclass(frozen=True)
class Calibration:
    """What the limits were made from.

    Attributes:
        weights: tells the policy from others, see `dp_hf.pipelines.weights`.
        false_alarms: share of the runs that succeed in which there may be an alarm.
        num_successes, num_runs: that were measured; limits come from those that succeeded.
        n_action_steps, temporal_ensemble: how chunks were executed, see `Execution`.
    """

    weights: str
    false_alarms: float
    num_successes: int
    num_runs: int
    n_action_steps: int
    temporal_ensemble: float | None


@dataclass(frozen=True)
class AlarmLimits:
    """From which values on a score is strange.

    Attributes:
        limits: of `LIMITED`. There is an alarm when one of them is above: in runs that succeed as rarely as
            `calibration.false_alarms` says.
        alone: of `EVERY`, were it the only one.
        usual: of `EVERY`, the median over the runs of the highest value in a run.
        calibration: what they were made from.
        reference: frames of the training data.
    """

    limits: Mapping[str, float]
    alone: Mapping[str, float]
    usual: Mapping[str, float]
    calibration: Calibration
    reference: Reference

    def write(self, pipeline: Path) -> None:
        """Writes them into a pipeline's folder, in the place of those that are there."""
        from safetensors.numpy import save_file  # an arm's own computer reads only, and has it not

        content = {"version": VERSION, "limits": self.limits, "alone": self.alone, "usual": self.usual}
        with folder_written_beside(pipeline / FOLDER) as folder:
            text = json.dumps({**content, "calibration": asdict(self.calibration)}, indent=2)
            (folder / LIMITS_FILE).write_text(text + "\n", encoding="utf-8")
            arrays = {field.name: getattr(self.reference, field.name) for field in fields(Reference)}
            save_file(arrays, folder / REFERENCE_FILE)

    @classmethod
    def read(cls, pipeline: Path, num_cameras: int, state_dim: int, action_dim: int) -> "AlarmLimits | None":
        """Those of a pipeline's folder; None where it has none.

        Args:
            num_cameras, state_dim, action_dim: of the policy; state_dim is 0 where it does not see its state.

        Raises:
            UserError: a file that is absent, damaged, or of another policy's numbers.
        """
        folder = pipeline / FOLDER
        if not folder.exists():
            return None
        file = folder / LIMITS_FILE
        content = read_json(file)
        if content.get("version") != VERSION:
            raise UserError(f"{file}: has version {content.get('version')!r}, and this dp_hf reads {VERSION}: {REMEDY}")
        try:
            limits, alone, usual = (_numbers(content[name]) for name in ("limits", "alone", "usual"))
            if {*limits} != {*LIMITED} or not {*alone} == {*usual} == {*EVERY}:
                raise ValueError(f"scores {', '.join(limits)}")
            calibration = Calibration(**content["calibration"])
            _require_possible(calibration)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{file} is damaged ({error!r}): {REMEDY}") from error
        reference = _read_reference(folder / REFERENCE_FILE, num_cameras, state_dim, action_dim)
        return cls(limits, alone, usual, calibration, reference)


REMEDY = "restore it, remove the folder, or measure the limits again with `dp-hf calibrate-alarm`"


def _numbers(values: Any) -> dict[str, float]:
    if not all(_is_number(value) and value >= 0 for value in values.values()):
        raise ValueError(f"a limit that is none: {values}")
    return {name: float(value) for name, value in values.items()}


def _require_possible(calibration: Calibration) -> None:
    counts = (calibration.num_successes, calibration.num_runs, calibration.n_action_steps)
    if (
        not isinstance(calibration.weights, str)
        or not (_is_number(calibration.false_alarms) and 0 < calibration.false_alarms < 1)
        or not all(type(count) is int and count >= 1 for count in counts)
        or not (calibration.temporal_ensemble is None or _is_number(calibration.temporal_ensemble))
    ):
        raise ValueError(f"{calibration}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _read_reference(file: Path, num_cameras: int, state_dim: int, action_dim: int) -> Reference:
    arrays = read_float32(file)
    names = [field.name for field in fields(Reference)]
    if sorted(arrays) != sorted(names):
        raise UserError(f"{file}: holds {', '.join(sorted(arrays))}, not {', '.join(sorted(names))}: {REMEDY}")
    rows, width = arrays["features"].shape if arrays["features"].ndim == 2 else (0, 0)
    shapes: dict[str, tuple[int, ...]] = {
        **{"features": (rows, width), "states": (rows, state_dim), "remaining": (rows,)},
        **{"feature_scale": (width,), "state_scale": (state_dim,), "action_scale": (action_dim,)},
    }
    if rows < NEIGHBORS or width < 1 or width % num_cameras:
        raise UserError(f"{file}: features of the shape {arrays['features'].shape} are none of this policy: {REMEDY}")
    for name, array in arrays.items():
        if array.shape != shapes[name]:
            raise UserError(f"{file}: {name} has the shape {array.shape}, not {shapes[name]}: {REMEDY}")
        if not np.isfinite(array).all() or (name.endswith("scale") and not _is_positive(array)):
            raise UserError(f"{file}: {name} holds values that it cannot have: {REMEDY}")
    return Reference(**arrays)


def _is_positive(array: NDArray[np.float32]) -> bool:
    return bool((array > 0).all())
