"""What a pipeline's folder must hold to act as it did where it was saved; what is lost or damaged is named."""

import copy
import inspect
from collections.abc import Container, Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from diffusers import SchedulerMixin

from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.files import read_json
from dp_hf.models.onnx_policy import OnnxPolicy
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.saved_model import first_line
from dp_hf.pipelines.folder import read_index
from dp_hf.pipelines.inputs import SCHEDULERS
from dp_hf.pipelines.schedule import LARGEST_TIMESTEPS, SCHEDULER_KEYS

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


def require_saved_parts(folder: Path, given: Container[str] = ()) -> None:
    """Raises `UserError` for a pipeline's folder in which something is lost that would become a default of diffusers.

    The policy and the normalizer see to their own files, see `SavedModel`.

    Args:
        given: parts that the caller gives in place of those in the folder.
    """
    index = read_index(folder, given)
    policy = index["policy"][1]
    if "policy" not in given and policy not in (DiffusionPolicyModel.__name__, OnnxPolicy.__name__):
        raise UserError(
            f"{folder}: its policy is a {policy}, a class that dp_hf has not, so that no command loads it; in Python, "
            f"give from_pretrained policy={policy}.from_pretrained(..., subfolder='policy')"
        )
    if "scheduler" not in given:
        scheduler = {scheduler.__name__: scheduler for scheduler in SCHEDULERS}.get(index["scheduler"][1])
        if scheduler is None:
            known = ", ".join(scheduler.__name__ for scheduler in SCHEDULERS)
            raise UserError(f"{folder}/model_index.json: the scheduler is one of {known}; got {index['scheduler'][1]}")
        file = folder / "scheduler" / scheduler.config_name
        config, arguments = read_json(file), inspect.signature(scheduler.__init__).parameters
        # Keys that diffusers adds later are not asked of folders that were written before.
        if lost := [name for name in arguments if name in SCHEDULER_KEYS and name not in config]:
            raise UserError(
                f"{file}: has no {lost[0]}, and a default may not be what it was trained with; restore the file"
            )
        for name, argument in arguments.items():
            if name in SCHEDULER_KEYS and not _is_like(config[name], argument.default):
                raise UserError(
                    f"{file}: {name} is {config[name]!r}, and it is such as {argument.default!r}; restore the file"
                )
        steps = config["num_train_timesteps"]
        if type(steps) is not int or not 1 <= steps <= LARGEST_TIMESTEPS:
            raise UserError(f"{file}: num_train_timesteps is 1 to {LARGEST_TIMESTEPS}; got {steps!r}")


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value of a config is of the kind that its default is; a default of None allows any."""
    if isinstance(default, bool) or isinstance(value, bool):
        return default is None or (isinstance(value, bool) and isinstance(default, bool))
    if isinstance(default, (int, float)):
        return isinstance(value, Real)
    return default is None or isinstance(value, type(default))


def require_sampling(scheduler: SchedulerMixin) -> None:
    """Raises `UserError` for a scheduler whose config is none: no noise levels, or no step from one to the next."""
    levels = scheduler.alphas_cumprod
    if not (
        torch.isfinite(levels).all() and (levels >= 0).all() and (levels <= 1).all() and (levels.diff() <= 0).all()
    ):
        raise UserError("scheduler/scheduler_config.json: its betas are no noise schedule; restore the file")
    prediction_type = scheduler.config.prediction_type
    if prediction_type not in PREDICTION_TYPES:
        known = ", ".join(PREDICTION_TYPES)
        raise UserError(f"scheduler/scheduler_config.json: prediction_type is {known}; got {prediction_type!r}")
    trial = copy.deepcopy(scheduler)
    try:
        trial.set_timesteps(1)
        trial.step(torch.zeros(1, 1, 1), trial.timesteps[0], torch.zeros(1, 1, 1))
    except Exception as error:  # of many kinds, for what a config holds
        raise UserError(f"scheduler/scheduler_config.json: cannot sample: {first_line(error)}") from error


def require_names(config: Any) -> None:
    """Raises `UserError` where a policy's config has names of its numbers, and they are none or of another width."""
    for kind in ("state", "action"):
        names, units = config.get(f"{kind}_names"), config.get(f"{kind}_units")
        if not all(isinstance(texts, (list, tuple, NoneType)) for texts in (names, units)):
            raise UserError(f"policy/config.json: {kind}_names and {kind}_units are lists of texts, or null")
        if names is not None:
            quantities_of(config, kind)


@contextmanager
def faults_in(source: str) -> Iterator[None]:
    """Whatever is raised within is a `UserError` that names `source`, or a file in it."""
    try:
        yield
    except UserError as error:
        if source in str(error):
            raise
        raise UserError(f"{source}: {error}") from error
    except Exception as error:  # diffusers and torch raise many kinds for what a file holds
        raise UserError(f"{source}: cannot be loaded: {first_line(error)}") from error
