"""The reference's checkpoints: `.pth` files, read without running what is pickled in them, and written.

A file holds `{epoch, model_state_dict, optimizer_state_dict, train_loss | eval_metric, args}`.
"""

import argparse
import pathlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DDPMScheduler, SchedulerMixin

from dp_hf.arms import mycobot_280
from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside
from dp_hf.interop.reference_keys import (
    BACKBONES,
    FIRST_LAYER,
    InputOrder,
    Layout,
    key_table,
    layout_of,
    num_layers_of,
    output_layer,
    swap_inputs,
)
from dp_hf.models.normalizer import Normalizer
from dp_hf.models.policy import DiffusionPolicyModel

IMAGE_FEATURES = 512  # of a ResNet-34
DEFAULT_ARGUMENTS = {"image_size": 224, "diffusion_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02}

# What training arguments and metrics are made of, besides tensors and plain values. Paths load as pure ones.
_numpy_scalar = np.float64(0).__reduce__()[0]
_SAFE_TYPES = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
    *((_numpy_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((pathlib.PurePath, f"pathlib.{name}") for name in ("PosixPath", "WindowsPath")),
    *((pathlib.PurePath, f"pathlib._local.{name}") for name in ("PosixPath", "WindowsPath")),
]


@dataclass(frozen=True)
class LegacyCheckpoint:
    """What a `.pth` of the reference holds.

    Attributes:
        path: the file.
        weights: parameter name to tensor, names as in the file.
        arguments: those of the training command; empty where the file has none.
        metrics: the other numbers, such as `epoch`, `train_loss` and `eval_metric`.
        has_optimizer: whether the optimizer's state is there too.
    """

    path: Path
    weights: dict[str, torch.Tensor]
    arguments: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    has_optimizer: bool = False

    @property
    def layout(self) -> Layout:
        """The key layout; raises `UserError` when the parameters are not the reference's."""
        layout = layout_of(self.weights)
        if layout is None:
            found = ", ".join(sorted({name.split(".")[0] for name in self.weights})[:8])
            raise UserError(f"{self.path}: not a checkpoint of the reference policy; its parameters are {found}")
        return layout

    @property
    def num_layers(self) -> int:
        return num_layers_of(self.weights, self.layout)

    @property
    def backbone_is_indexed(self) -> bool:
        return f"{BACKBONES[self.layout]}.0.weight" in self.weights

    def shape(self, name: str) -> tuple[int, int]:
        """Of a linear layer's weight: (outputs, inputs)."""
        weight = self.weights.get(f"{name}.weight")
        if weight is None or weight.ndim != 2 or 0 in weight.shape:
            found = "missing" if weight is None else f"of shape {tuple(weight.shape)}"
            raise UserError(f"{self.path}: {name}.weight is {found}; the reference's is (outputs, inputs)")
        return tuple(weight.shape)

    def assumptions(self, activation: str, input_order: str) -> list[str]:
        """What has to be assumed because the file does not tell: a sentence for each kind."""
        sentences = []
        if self.layout == "mlp":
            sentences.append(
                f"its activation is taken to be {activation} and its input order {input_order}, which the file does "
                "not tell; import-checkpoint has --activation and --input_order"
            )
        if assumed := [f"{name} {value:g}" for name, value in DEFAULT_ARGUMENTS.items() if name not in self.arguments]:
            sentences.append(
                f"the file does not tell these, so they are the reference's defaults: {', '.join(assumed)}"
            )
        return sentences

    def argument(self, name: str, kind: type) -> Any:
        """A training argument, or the reference's default where the file has none."""
        value: Any = self.arguments.get(name, DEFAULT_ARGUMENTS[name])
        if type(value) not in (int, kind) or value <= 0:
            raise UserError(f"{self.path}: the training argument {name} is {value!r}, not a positive number")
        return kind(value)


def read_checkpoint(path: str | Path) -> LegacyCheckpoint:
    """Reads a `.pth` file, on the CPU. Nothing in it is run: only tensors, plain values and a few named types load.

    Raises:
        UserError: no such file, damaged, another format, or with content of other types, which are named.
    """
    path = Path(path)
    content = _load(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not the dict of a checkpoint")
    weights = content.get("model_state_dict", content)
    if not isinstance(weights, dict) or not weights or not all(torch.is_tensor(value) for value in weights.values()):
        raise UserError(f"{path}: has no model_state_dict of tensors; it has {', '.join(map(str, list(content)[:8]))}")
    arguments = content.get("args") or {}
    arguments = vars(arguments) if isinstance(arguments, argparse.Namespace) else arguments
    if not isinstance(arguments, dict):
        raise UserError(f"{path}: its training arguments (args) are a {type(arguments).__name__}, not a dict")
    numbers = {name: value for name, value in content.items() if isinstance(value, (int, float, np.generic))}
    return LegacyCheckpoint(
        path,
        {str(name): value for name, value in weights.items()},
        {str(name): _plain(value) for name, value in arguments.items()},
        {str(name): _plain(value) for name, value in numbers.items()},
        "optimizer_state_dict" in content,
    )


def _load(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint file")
    try:
        with torch.serialization.safe_globals(_SAFE_TYPES), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise KeyError, EOFError, RuntimeError and others
        if match := re.search(r"GLOBAL `?([\w.]+)", str(error)):
            raise UserError(
                f"{path}: refused: it asks to run {match[1]} when it is loaded. A checkpoint of the reference holds "
                "tensors, numbers, texts and its training arguments only; get the file from its author again"
            ) from error
        raise UserError(
            f"{path}: not a checkpoint that PyTorch saved, or damaged, or with contents that are not safe to load"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, pathlib.PurePath) else value


def import_policy(
    checkpoint: LegacyCheckpoint,
    activation: Literal["relu", "mish"] = "relu",
    input_order: InputOrder = "action_image_time",
) -> DiffusionPolicyModel:
    """The policy of a checkpoint: the same noise prediction for the same image, action and timestep.

    All sizes are read off the tensors. Of the older layout variants exist that the tensors do not tell apart:

    Args:
        activation: of the older layout's MLP; `mish` is that of its timestep embedding too, beside `relu` it is GELU.
        input_order: in which the older layout's MLP takes its inputs.

    Raises:
        UserError: a parameter is missing, unknown, of another shape, or not finite; names it.
    """
    layout, num_layers, weights = checkpoint.layout, checkpoint.num_layers, checkpoint.weights
    action_dim, hidden_dim = checkpoint.shape(output_layer(layout, num_layers))
    time_hidden_dim, time_embed_dim = checkpoint.shape("time_mlp.1")
    mycobot = mycobot_280.QUANTITIES  # which the reference drives
    names, units = (mycobot.names, mycobot.units) if action_dim == len(mycobot) else (None, None)
    policy = DiffusionPolicyModel(
        state_dim=action_dim,
        state_names=names,
        state_units=units,
        action_dim=action_dim,
        action_names=names,
        action_units=units,
        action_source="state",
        action_offset=0,
        image_size=(checkpoint.argument("image_size", int),) * 2,
        image_encoder="resnet34.tv_in1k",
        denoiser=layout,
        hidden_dim=hidden_dim,
        num_mlp_layers=num_layers,
        dropout=0.1 if layout == "mlp" else 0.0,
        time_embed_dim=time_embed_dim,
        time_hidden_ratio=max(time_hidden_dim // time_embed_dim, 1),
        activation=activation,
    )
    table = key_table(policy.state_dict(), layout, num_layers, checkpoint.backbone_is_indexed)
    if missing := sorted(set(table.values()) - set(weights)):
        raise UserError(f"{checkpoint.path}: {len(missing)} parameters are missing, such as {missing[0]}")
    if unknown := sorted(set(weights) - set(table.values())):
        raise UserError(f"{checkpoint.path}: {len(unknown)} parameters are not the reference's, such as {unknown[0]}")
    if strange := [name for name, value in weights.items() if not torch.isfinite(value).all()]:
        raise UserError(f"{checkpoint.path}: {strange[0]} holds values that are not finite")
    state = {ours: weights[theirs] for ours, theirs in table.items()}
    if layout == "mlp" and input_order == "action_time_image":
        state[FIRST_LAYER] = swap_inputs(state[FIRST_LAYER], action_dim, time_embed_dim)
    try:
        policy.load_state_dict(state)
    except RuntimeError as error:
        mismatch = str(error).splitlines()[-1].strip()
        raise UserError(f"{checkpoint.path}: not the shapes of the reference: {mismatch}") from error
    return policy.eval()


def import_scheduler(checkpoint: LegacyCheckpoint) -> DDPMScheduler:
    """The reference's noise process: linear betas, noise prediction, nothing clipped, posterior variance."""
    start, end = checkpoint.argument("beta_start", float), checkpoint.argument("beta_end", float)
    if not start <= end < 1:
        raise UserError(f"{checkpoint.path}: beta_start {start} and beta_end {end} are no noise schedule")
    steps = checkpoint.argument("diffusion_timesteps", int)
    return DDPMScheduler(steps, start, end, "linear", variance_type="fixed_small", clip_sample=False)


def export_checkpoint(
    path: str | Path,
    policy: DiffusionPolicyModel,
    scheduler: SchedulerMixin,
    normalizer: Normalizer,
    arguments: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    backbone_is_indexed: bool | None = None,
    input_order: InputOrder = "action_image_time",
) -> None:
    """Writes a `.pth` that the reference's own code loads, to predict or to train on with a fresh optimizer.

    Args:
        arguments: of the checkpoint that the policy was imported from, if any.
        metrics: how far its training had come: `epoch`, and losses. Without, `epoch` is None and there is no loss.
        backbone_is_indexed: see `key_table`; by default indexed in the newer layout and named in the older.
        input_order: see `import_policy`.

    Raises:
        UserError: the policy has parts that the reference has no place for; names them.
    """
    require_exportable(policy, scheduler, normalizer)
    config, state = policy.config, policy.state_dict()
    if config.denoiser == "mlp" and input_order == "action_time_image":
        num_images = state[FIRST_LAYER].shape[1] - config.action_dim - config.time_embed_dim
        state[FIRST_LAYER] = swap_inputs(state[FIRST_LAYER], config.action_dim, num_images)
    indexed = config.denoiser == "mlp_layernorm" if backbone_is_indexed is None else backbone_is_indexed
    table = key_table(state, config.denoiser, config.num_mlp_layers, indexed)
    written = {
        "learning_rate": 1e-4,
        "weight_decay": 1e-5,
        "use_pretrained_resnet": False,
        "freeze_resnet": True,
        **(arguments or {}),
        "state_dim": config.action_dim,
        "time_emb_dim": config.time_embed_dim,
        "hidden_dim": config.hidden_dim,
        "num_mlp_layers": config.num_mlp_layers,
        "image_feature_dim": IMAGE_FEATURES,
        "image_size": config.image_size[0],
        "diffusion_timesteps": scheduler.config.num_train_timesteps,
        "beta_start": scheduler.config.beta_start,
        "beta_end": scheduler.config.beta_end,
    }
    optimizer = torch.optim.AdamW(policy.parameters(), written["learning_rate"], weight_decay=written["weight_decay"])
    content = {
        "epoch": None,
        **(metrics or {}),
        "model_state_dict": {theirs: _as_saved(state[ours]) for ours, theirs in table.items()},
        "optimizer_state_dict": optimizer.state_dict(),
        "args": written,
    }
    with file_written_beside(path) as file:
        torch.save(content, file)


def require_exportable(policy: DiffusionPolicyModel, scheduler: SchedulerMixin, normalizer: Normalizer) -> None:
    """Raises `UserError`, naming everything that the reference has no place for, unless the policy can be exported."""
    config, noise = policy.config, scheduler.config
    backbone = config.image_encoder.split(".")[0] == "resnet34" and config.pooling == "avg"
    needed = {
        "a denoiser mlp or mlp_layernorm": config.denoiser in BACKBONES,
        "the image encoder resnet34 with average pooling": backbone,
        "one camera": len(config.camera_names) == 1,
        "a square image_size": config.image_size[0] == config.image_size[1],
        "horizon 1": config.horizon == 1,
        "n_obs_steps 1": config.n_obs_steps == 1,
        "no proprioception": not config.use_proprioception,
        "actions in degrees and 0..100": not {"radians", "metres"} & set(quantities_of(config, "action").units),
        "normalization identity (it predicts raw degrees)": normalizer.config.mode == "identity",
        "prediction_type epsilon": noise.prediction_type == "epsilon",
        "linear betas": noise.beta_schedule == "linear",
        "clip_sample False": not noise.get("clip_sample", False),
    }
    if lacking := [name for name, holds in needed.items() if not holds]:
        raise UserError(f"the reference's format cannot hold this policy; it needs {', '.join(lacking)}")


def _as_saved(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.float() if tensor.is_floating_point() else tensor
