"""A denoiser prepared for one observation and one run of timesteps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from dp_hf.models.mlp_denoiser import LayerNormMLPDenoiser, MLPDenoiser
from dp_hf.models.onnx_policy import OnnxModule
from dp_hf.models.unet1d_denoiser import ConditionalUnet1DModel
from dp_hf.pipelines.fast.folded_mlp import fold_layer_norm_mlp, fold_mlp

PLAIN_MODULES = (MLPDenoiser, LayerNormMLPDenoiser, nn.ModuleList, nn.Linear, nn.LayerNorm, nn.Dropout)


class FoldedDenoiser(Protocol):
    observation: torch.Tensor

    def tables(self, steps: int) -> list[torch.Tensor]:
        """What `predict` needs a row of for each step."""

    def predict(self, actions: torch.Tensor, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """The prediction for actions (B, horizon * action_dim), given this step's rows of `tables`."""


@dataclass
class FoldedUnet1D:
    """The U-Net itself, with the embeddings of all timesteps (steps, time_embed_dim)."""

    network: ConditionalUnet1DModel
    observation: torch.Tensor
    time: torch.Tensor

    def tables(self, steps: int) -> list[torch.Tensor]:
        return [self.time]

    def predict(self, actions: torch.Tensor, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        chunk = actions.view(len(actions), -1, self.network.output.out_channels)
        return self.network.predict(chunk, rows[0].expand(len(actions), -1), self.observation).flatten(1)


@dataclass
class WholeGraph:
    """A denoiser that onnxruntime runs, called as it is with each of the timesteps (steps,)."""

    network: OnnxModule
    observation: torch.Tensor
    timesteps: torch.Tensor

    def tables(self, steps: int) -> list[torch.Tensor]:
        return [self.timesteps]

    def predict(self, actions: torch.Tensor, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        chunk = actions.view(len(actions), *self.network.graph.output)
        return self.network(chunk, rows[0].expand(len(actions)), self.observation).flatten(1)


def can_fold(network: nn.Module) -> bool:
    """Whether `network` is one of the denoisers in inference mode, with nothing around what folding takes apart."""
    if isinstance(network, OnnxModule):
        return True
    if type(network) is ConditionalUnet1DModel:
        taken_apart, dtypes = [network], [torch.float32]
    elif type(network) in (MLPDenoiser, LayerNormMLPDenoiser):
        taken_apart, dtypes = list(network.modules()), [torch.float32, torch.bfloat16, torch.float16]
        if not all(type(module) in PLAIN_MODULES or module is network.time_embedding for module in taken_apart):
            return False
    else:
        return False
    return (
        not network.training
        and not any(module._forward_hooks or module._forward_pre_hooks for module in taken_apart)
        and all(parameter.dtype in dtypes for parameter in network.parameters())
    )


@torch.no_grad()
def fold(network: nn.Module, timesteps: torch.Tensor, observation: torch.Tensor) -> FoldedDenoiser:
    """Folds timesteps (steps,) and observation (B, observation_dim) into a network that `can_fold`.

    This takes about a millisecond: little enough to be done at every call, so that no table outlives its weights.
    """
    if isinstance(network, OnnxModule):
        return WholeGraph(network, observation.float(), timesteps)
    time, observation = network.time_embedding(timesteps).float(), observation.float()
    if isinstance(network, ConditionalUnet1DModel):
        return FoldedUnet1D(network, observation, time)
    return (fold_mlp if isinstance(network, MLPDenoiser) else fold_layer_norm_mlp)(network, time, observation)
