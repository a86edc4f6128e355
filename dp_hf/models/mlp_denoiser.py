"""The reference denoiser: a multilayer perceptron over noisy actions, observation and timestep."""

from itertools import pairwise

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn
from torch.nn import functional as F


class TimestepEmbedding(nn.Module):
    """Sinusoidal embedding (Vaswani et al. 2017; sine half first), then Linear, GELU, Linear.

    Timesteps (B,) to (B, dim).
    """

    def __init__(self, dim: int = 64, hidden_ratio: int = 2):
        super().__init__()
        self.dim = dim
        self.linear_1 = nn.Linear(dim, dim * hidden_ratio)
        self.linear_2 = nn.Linear(dim * hidden_ratio, dim)

    def forward(self, timesteps: torch.Tensor) -> torch.Tensor:
        sinusoid = get_timestep_embedding(timesteps, self.dim, downscale_freq_shift=1)
        return self.linear_2(F.gelu(self.linear_1(sinusoid.to(self.linear_1.weight.dtype))))


class MLPDenoiser(nn.Module):
    """Linear, ReLU, dropout over the concatenated (noisy actions, observation, timestep embedding).

    Args:
        action_dim, horizon: the chunk is (horizon, action_dim).
        observation_dim: width of the observation features.
        hidden_dim, num_layers: the hidden layers.
        time_embed_dim, time_hidden_ratio: width of the timestep embedding and of its hidden layer.
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
        widths = [action_dim * horizon + observation_dim + time_embed_dim] + [hidden_dim] * num_layers
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, action_dim * horizon)

    def forward(self, noisy_actions: torch.Tensor, timesteps: torch.Tensor, observation: torch.Tensor) -> torch.Tensor:
        """Noisy actions (B, horizon, action_dim), timesteps (B,), observation (B, observation_dim) to a prediction
        shaped like the noisy actions."""
        hidden = torch.cat([noisy_actions.flatten(1), observation, self.time_embedding(timesteps)], dim=1)
        for layer in self.layers:
            hidden = self.dropout(F.relu(layer(hidden)))
        return self.output(hidden).view_as(noisy_actions)


class LayerNormMLPDenoiser(nn.Module):
    """The variant with Linear, LayerNorm, GELU, dropout, whose every hidden layer sees the timestep embedding again.

    Same arguments and call as `MLPDenoiser`.
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
