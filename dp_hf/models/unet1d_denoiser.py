"""The alternative denoiser: a 1-D convolutional U-Net along the action chunk."""

import torch
from torch import nn
from torch.nn import functional as F

from dp_hf.models.mlp_denoiser import TimestepEmbedding


class ConditionalUnet1DModel(nn.Module):
    """U-Net over time, conditioned by FiLM on timestep and observation (Chi et al. 2023, arXiv:2303.04137).

    Any horizon works: the chunk is padded by its last action to a multiple of 2^(levels - 1) and cropped again.

    Args:
        action_dim: channels of the chunk.
        observation_dim: width of the observation features.
        down_dims: channels of each level; every level but the last halves the time axis.
        kernel_size: of the convolutions along time; odd.
        n_groups: of the group norms; divides every channel count.
    """

    def __init__(
        self,
        action_dim: int,
        observation_dim: int,
        down_dims: tuple[int, ...] = (64, 128, 256),
        kernel_size: int = 5,
        n_groups: int = 8,
        time_embed_dim: int = 64,
        time_hidden_ratio: int = 4,
    ):
        super().__init__()
        self.time_embedding = TimestepEmbedding(time_embed_dim, time_hidden_ratio)
        self.stride = 2 ** (len(down_dims) - 1)

        def block(inputs: int, outputs: int) -> ResidualBlock1D:
            return ResidualBlock1D(inputs, outputs, time_embed_dim + observation_dim, kernel_size, n_groups)

        pairs = list(zip([action_dim, *down_dims[:-1]], down_dims, strict=True))
        self.down_blocks = nn.ModuleList(nn.ModuleList([block(i, o), block(o, o)]) for i, o in pairs)
        self.downsamplers = nn.ModuleList(nn.Conv1d(dim, dim, 3, 2, 1) for dim in down_dims[:-1])
        self.mid_blocks = nn.ModuleList([block(down_dims[-1], down_dims[-1]) for _ in range(2)])
        up_pairs = [(o, i) for i, o in reversed(pairs[1:])]
        self.upsamplers = nn.ModuleList(nn.ConvTranspose1d(inputs, outputs, 4, 2, 1) for inputs, outputs in up_pairs)
        self.up_blocks = nn.ModuleList(nn.ModuleList([block(2 * o, o), block(o, o)]) for _, o in up_pairs)
        self.final_block = ConvBlock1D(down_dims[0], down_dims[0], kernel_size, n_groups)
        self.output = nn.Conv1d(down_dims[0], action_dim, 1)

    def forward(self, noisy_actions: torch.Tensor, timesteps: torch.Tensor, observation: torch.Tensor) -> torch.Tensor:
        """Noisy actions (B, horizon, action_dim), timesteps (B,), observation (B, observation_dim) to a prediction
        shaped like the noisy actions."""
        return self.predict(noisy_actions, self.time_embedding(timesteps), observation)

    def predict(self, noisy_actions: torch.Tensor, time: torch.Tensor, observation: torch.Tensor) -> torch.Tensor:
        """The same, given the embedding of the timesteps (B, time_embed_dim)."""
        horizon = noisy_actions.shape[1]
        condition = torch.cat([time, observation], dim=1)
        hidden = F.pad(noisy_actions.transpose(1, 2), (0, -horizon % self.stride), mode="replicate")
        skips = []
        for level, (first, second) in enumerate(self.down_blocks):
            hidden = second(first(hidden, condition), condition)
            if level < len(self.downsamplers):
                skips.append(hidden)
                hidden = self.downsamplers[level](hidden)
        for block in self.mid_blocks:
            hidden = block(hidden, condition)
        for upsample, (first, second) in zip(self.upsamplers, self.up_blocks, strict=True):
            hidden = torch.cat([upsample(hidden), skips.pop()], dim=1)
            hidden = second(first(hidden, condition), condition)
        return self.output(self.final_block(hidden))[..., :horizon].transpose(1, 2)


class ConvBlock1D(nn.Sequential):
    """Conv1d, GroupNorm, Mish over (B, C, T)."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, n_groups: int):
        super().__init__(
            nn.Conv1d(inputs, outputs, kernel_size, padding=kernel_size // 2),
            nn.GroupNorm(n_groups, outputs),
            nn.Mish(),
        )


class ResidualBlock1D(nn.Module):
    """Two convolution blocks with FiLM (scale and shift per channel) between them, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, condition_dim: int, kernel_size: int, n_groups: int):
        super().__init__()
        self.conv_1 = ConvBlock1D(inputs, outputs, kernel_size, n_groups)
        self.conv_2 = ConvBlock1D(outputs, outputs, kernel_size, n_groups)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition_dim, 2 * outputs))
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, hidden: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Hidden (B, inputs, T), condition (B, condition_dim) to (B, outputs, T)."""
        scale, shift = self.film(condition).unsqueeze(-1).chunk(2, dim=1)
        return self.conv_2(self.conv_1(hidden) * (1 + scale) + shift) + self.shortcut(hidden)
