"""The reference denoiser: a multilayer perceptron over noisy actions, observation and timestep."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from dp_hf.errors import UserError


def sinusoidal_embedding(timesteps: torch.Tensor, dim: int) -> torch.Tensor:
    """Sines, then cosines, of timesteps (B,) at dim / 2 frequencies from 1 to 1e-4 (Vaswani et al. 2017); (B, dim).

    The order of operations is the reference's: any other rounds to values up to 3e-5 away at timestep 1000.
    """
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, device=timesteps.device) * -(math.log(10000) / max(half - 1, 1)))
    angles = timesteps[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimestepEmbedding(nn.Module):
    """Sinusoidal embedding, then Linear, activation, Linear: timesteps (B,) to (B, dim)."""

    def __init__(self, dim: int = 64, hidden_ratio: int = 2, activation: Literal["gelu", "mish"] = "gelu"):
        super().__init__()
        self.dim = dim
        self.activation = F.gelu if activation == "gelu" else F.mish
        self.linear_1 = nn.Linear(dim, dim * hidden_ratio)
        self.linear_2 = nn.Linear(dim * hidden_ratio, dim)

    def forward(self, timesteps: torch.Tensor) -> torch.Tensor:
        sinusoid = sinusoidal_embedding(timesteps, self.dim).to(self.linear_1.weight.dtype)
        return self.linear_2(self.activation(self.linear_1(sinusoid)))


class MLPDenoiser(nn.Module):
    """Linear, activation, dropout over the concatenated (noisy actions, observation, timestep embedding).

    Args:
        action_dim, horizon: the chunk is (horizon, action_dim).
        observation_dim: width of the observation features.
        hidden_dim, num_layers: the hidden layers.
        time_embed_dim, time_hidden_ratio: width of the timestep embedding and of its hidden layer.
        activation: `relu`, with GELU in the timestep embedding, or `mish` in both.
    """

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        observation_dim: int,
        hidden_dim: int = 256,
        num_layers: int = 4,
        dropout: float = 0.1,
        time_embed_dim: int = 64,
        time_hidden_ratio: int = 2,
        activation: Literal["relu", "mish"] = "relu",
    ):
        super().__init__()
        if activation not in ("relu", "mish"):
            raise UserError(f"activation is relu or mish; got {activation!r}")
        self.activation = F.relu if activation == "relu" else F.mish
        of_embedding: Literal["gelu", "mish"] = "gelu" if activation == "relu" else "mish"
        self.time_embedding = TimestepEmbedding(time_embed_dim, time_hidden_ratio, of_embedding)
        widths = [action_dim * horizon + observation_dim + time_embed_dim] + [hidden_dim] * num_layers
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, action_dim * horizon)

    def forward(self, noisy_actions: torch.Tensor, timesteps: torch.Tensor, observation: torch.Tensor) -> torch.Tensor:
        """Noisy actions (B, horizon, action_dim), timesteps (B,), observation (B, observation_dim) to a prediction
        shaped like the noisy actions."""
        hidden = torch.cat([noisy_actions.flatten(1), observation, self.time_embedding(timesteps)], dim=1)
        for layer in self.layers:
            hidden = self.dropout(self.activation(layer(hidden)))
        return self.output(hidden).view_as(noisy_actions)


class LayerNormMLPDenoiser(nn.Module):
    """The variant with Linear, LayerNorm, GELU, dropout, whose every hidden layer sees the timestep embedding again.

    Same arguments and call as `MLPDenoiser`, but for the activation.
    """

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        observation_dim: int,
        hidden_dim: int = 256,
        num_layers: int = 4,
        dropout: float = 0.1,
        time_embed_dim: int = 64,
        time_hidden_ratio: int = 2,
    ):
        super().__init__()
        self.time_embedding = TimestepEmbedding(time_embed_dim, time_hidden_ratio)
        self.input = nn.Linear(action_dim * horizon + observation_dim, hidden_dim)
        self.input_norm = nn.LayerNorm(hidden_dim)
        self.layers = nn.ModuleList(nn.Linear(hidden_dim + time_embed_dim, hidden_dim) for _ in range(num_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim) for _ in range(num_layers))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, action_dim * horizon)

    def forward(self, noisy_actions: torch.Tensor, timesteps: torch.Tensor, observation: torch.Tensor) -> torch.Tensor:
        """Noisy actions (B, horizon, action_dim), timesteps (B,), observation (B, observation_dim) to a prediction
        shaped like the noisy actions."""
        time = self.time_embedding(timesteps)
        hidden = F.gelu(self.input_norm(self.input(torch.cat([noisy_actions.flatten(1), observation], dim=1))))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            hidden = self.dropout(F.gelu(norm(layer(torch.cat([hidden, time], dim=1)))))
        return self.output(hidden).view_as(noisy_actions)
