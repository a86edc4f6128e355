"""Training that starts from the weights of another policy, whose normalizer stays."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from diffusers import SchedulerMixin

from dp_hf.arms.matching import require_data_of
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.errors import UserError
from dp_hf.interop.reference_checkpoint import import_policy, import_scheduler, read_checkpoint
from dp_hf.models.normalizer import Normalizer
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.policy_config import PolicyOptions
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.training.config import TrainConfig
from dp_hf.training.diffusion import make_noise_scheduler

# Options that change how a policy learns or acts, and not what its weights mean.
FREE = {"n_action_steps", "temporal_ensemble", "dropout", "freeze_image_encoder"}
NOISE = {
    **{"num_train_timesteps": "diffusion_timesteps", "prediction_type": "prediction_type"},
    **{"beta_schedule": "beta_schedule", "beta_start": "beta_start", "beta_end": "beta_end"},
}


def initialize(
    policy: DiffusionPolicyModel, config: TrainConfig, meta: DatasetMeta, report: Callable[[str], None] = print
) -> Normalizer:
    """Gives `policy` the weights that `init_from` names, and returns the normalizer they were trained with.

    Args:
        report: is given what has to be assumed of a `.pth`.

    Raises:
        UserError: no such policy, or one whose weights mean something else by the options or the data; named.
    """
    source = config.optimization.init_from
    assert source is not None
    start, scheduler, normalizer = _open(source, config, report)
    require_data_of(start.config, "state", meta.state, config.data_dir)
    require_data_of(start.config, "action", meta.action, config.data_dir)
    wanted: dict[str, Any] = {option.name: getattr(policy.config, option.name) for option in fields(PolicyOptions)}
    found = {name: getattr(start.config, name) for name in wanted}
    noise = make_noise_scheduler(config).config
    wanted |= {option: noise[key] for key, option in NOISE.items()} | {"normalization": config.data.normalization}
    found |= {option: scheduler.config[key] for key, option in NOISE.items()}
    found["normalization"] = normalizer.config.mode
    if max(len(policy.config.camera_names), len(start.config.camera_names)) > 1:  # an only camera may be renamed
        wanted["camera_names"], found["camera_names"] = policy.config.camera_names, start.config.camera_names
    different = [name for name in wanted if name not in FREE and _plain(wanted[name]) != _plain(found[name])]
    if different:
        raise UserError(
            f"--init_from {source}: its weights were trained with "
            + "; ".join(f"{name} {_plain(found[name])}, not {_plain(wanted[name])}" for name in different)
        )
    try:
        policy.load_state_dict(start.state_dict())
    except RuntimeError as error:
        raise UserError(f"--init_from {source}: {str(error).splitlines()[-1].strip()}") from error
    return normalizer


def _open(
    source: str, config: TrainConfig, report: Callable[[str], None]
) -> tuple[DiffusionPolicyModel, SchedulerMixin, Normalizer]:
    if Path(source).suffix in (".pth", ".pt"):
        checkpoint = read_checkpoint(source)
        for sentence in checkpoint.assumptions(config.policy.activation, "action_image_time"):
            report(f"--init_from {source}: {sentence}")
        policy = import_policy(checkpoint, config.policy.activation)
        normalizer = Normalizer("identity", policy.config.state_dim, policy.config.action_dim)
        return policy, import_scheduler(checkpoint), normalizer
    pipeline = DiffusionPolicyPipeline.from_pretrained(source, backend="torch")
    assert isinstance(pipeline.policy, DiffusionPolicyModel)
    return pipeline.policy, pipeline.scheduler, pipeline.normalizer


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (tuple, list)) else value
