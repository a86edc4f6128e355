"""What a pipeline's folder must hold to act as it did where it was saved; what is lost or damaged is named."""

import copy
import inspect
import shlex
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
from dp_hf.folder_kinds import refuse_other_kinds
from dp_hf.models.normalizer import Normalizer
from dp_hf.models.onnx_policy import OnnxPolicy
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.saved_model import first_line
from dp_hf.pipelines.inputs import SCHEDULERS

LARGEST_TIMESTEPS = 100_000
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")
# What changes the numbers of a supported scheduler, since diffusers 0.35. Keys that diffusers adds later are not asked
# of folders that were written before.
SCHEDULER_KEYS = {
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
    "variance_type", "clip_sample", "clip_sample_range", "set_alpha_to_one", "steps_offset", "timestep_spacing",
    "rescale_betas_zero_snr", "thresholding", "dynamic_thresholding_ratio", "sample_max_value", "solver_order",
    "solver_type", "solver_p", "predict_x0", "algorithm_type", "lower_order_final", "euler_at_final",
    "disable_corrector", "final_sigmas_type", "lambda_min_clipped", "use_karras_sigmas", "use_exponential_sigmas",
    "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas", "flow_shift",
}  # fmt: skip


def require_pipeline(source: str) -> None:
    """Raises `UserError` for what is no pipeline, neither a folder nor the id of a repository, and says what it is."""
    path = Path(source)
    if path.suffix in (".pth", ".pt"):
        if not path.is_file():
            raise UserError(f"{source}: no such file, and a pipeline is a folder or a repository on the Hub")
        raise UserError(f"{source} is a checkpoint file, and a pipeline is a folder: {_import_of(path)}")
    if not path.exists() or (path / "model_index.json").is_file():
        return
    if path.is_dir() and (files := sorted(path.glob("*.pth"), key=lambda file: file.stat().st_mtime)):
        raise UserError(f"{source} holds checkpoint files and no pipeline: {_import_of(files[-1])}")
    refuse_other_kinds(path, "pipeline")
    raise UserError(f"{source}: not a pipeline folder, it has no model_index.json")


def _import_of(file: Path) -> str:
    words = ["dp-hf", "import-checkpoint", "--checkpoint", str(file), "--pipeline", str(file.with_suffix(""))]
    return f"`{shlex.join(words)}` makes a pipeline of the reference's, to be given in its place"


def require_saved_parts(folder: Path, given: Container[str] = ()) -> None:
    """Raises `UserError` for a pipeline's folder in which something is lost that would become a default of diffusers.

    The policy and the normalizer see to their own files, see `SavedModel`.

    Args:
        given: parts that the caller gives in place of those in the folder.
    """
    index = read_json(folder / "model_index.json")
    if missing := {"policy", "scheduler", "normalizer"} - set(index):
        raise UserError(f"{folder}: not a diffusion policy; its model_index.json has no {', '.join(sorted(missing))}")
    for name in ("policy", "scheduler", "normalizer"):
        entry = index[name]
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)):
            raise UserError(f"{folder}/model_index.json: {name} is [library, class]; got {entry!r}")
        if name not in given and not (folder / name).is_dir():
            raise UserError(f"{folder / name}: no such folder; the pipeline did not arrive whole")
    policy = index["policy"][1]
    if "policy" not in given and policy not in (DiffusionPolicyModel.__name__, OnnxPolicy.__name__):
        raise UserError(
            f"{folder}: its policy is a {policy}, a class that dp_hf has not, so that no command loads it; in Python, "
            f"give from_pretrained policy={policy}.from_pretrained(..., subfolder='policy')"
        )
    if "num_inference_steps" not in index and "num_inference_steps" not in given:
        raise UserError(f"{folder}/model_index.json: has no num_inference_steps; restore the file, or pass a number")
    if "scheduler" not in given:
        scheduler = {scheduler.__name__: scheduler for scheduler in SCHEDULERS}.get(index["scheduler"][1])
        if scheduler is None:
            known = ", ".join(scheduler.__name__ for scheduler in SCHEDULERS)
            raise UserError(f"{folder}/model_index.json: the scheduler is one of {known}; got {index['scheduler'][1]}")
        file = folder / "scheduler" / scheduler.config_name
        config, arguments = read_json(file), inspect.signature(scheduler.__init__).parameters
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


def require_widths(config: Any, normalizer: Normalizer) -> None:
    """Raises `UserError` for a normalizer of other widths than the policy's, of the state where the policy sees it."""
    for kind in ("state", "action") if config.use_proprioception else ("action",):
        found, width = len(getattr(normalizer, f"{kind}_offset")), config[f"{kind}_dim"]
        if found != width:
            raise UserError(
                f"the normalizer is for {kind}s of {found} numbers, and the policy's have {width}: give the one that "
                "the policy was trained with"
            )


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
