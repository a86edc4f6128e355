"""The reference's networks and sampling, written from its published layout and independent of dp_hf."""

import math

import torch
import torchvision
from torch import nn


class SinusoidalEmbedding(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, timesteps):
        half = self.dim // 2
        step = math.log(10000) / (half - 1)
        angles = timesteps[:, None] * torch.exp(torch.arange(half) * -step)[None]
        return torch.cat((angles.sin(), angles.cos()), dim=-1)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.GELU())

    def forward(self, values):
        return self.layers(values)


def time_mlp(dim: int, ratio: int, activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        SinusoidalEmbedding(dim), nn.Linear(dim, dim * ratio), activation(), nn.Linear(dim * ratio, dim)
    )


class NewerReference(nn.Module):
    def __init__(self, hidden_dim=128, time_ratio=2, num_layers=4, state_dim=7, time_dim=64):
        super().__init__()
        self.image_backbone = nn.Sequential(*list(torchvision.models.resnet34().children())[:-2])
        self.adaptive_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.time_mlp = time_mlp(time_dim, time_ratio, nn.GELU)
        self.input_projection = Block(state_dim + 512, hidden_dim)
        self.layers = nn.ModuleList(Block(hidden_dim + time_dim, hidden_dim) for _ in range(num_layers))
        self.output_projection = nn.Linear(hidden_dim, state_dim)

    def forward(self, state, timestep, image):
        time = self.time_mlp(timestep.float())
        features = torch.flatten(self.adaptive_pool(self.image_backbone(image)), 1)
        hidden = self.input_projection(torch.cat([state, features], dim=1))
        for layer in self.layers:
            hidden = layer(torch.cat([hidden, time], dim=1))
        return self.output_projection(hidden)


class OlderReference(nn.Module):
    def __init__(
        self,
        hidden_dim=256,
        time_ratio=2,
        num_layers=4,
        state_dim=7,
        time_dim=64,
        indexed=False,
        mish=False,
        order="ait",
    ):
        super().__init__()
        resnet = torchvision.models.resnet34()
        resnet.fc = nn.Identity()
        self.image_encoder = nn.Sequential(*list(resnet.children())[:-1]) if indexed else resnet
        self.time_mlp = time_mlp(time_dim, time_ratio, nn.Mish if mish else nn.GELU)
        self.order = order
        width, layers = state_dim + 512 + time_dim, []
        for _ in range(num_layers):
            layers += [nn.Linear(width, hidden_dim), nn.Mish() if mish else nn.ReLU(), nn.Dropout(0.1)]
            width = hidden_dim
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden_dim, state_dim))

    def forward(self, state, timestep, image):
        parts = {"a": state, "i": self.image_encoder(image).flatten(1), "t": self.time_mlp(timestep.float())}
        return self.mlp(torch.cat([parts[name] for name in self.order], dim=1))


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, and batch-norm statistics as after training: those of a new model are too easy."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return model.eval()


@torch.no_grad()
def sample(predict_noise, shape, num_timesteps, beta_start, beta_end, generator) -> torch.Tensor:
    """The reference's reverse process from `generator`'s noise; `predict_noise(actions, timesteps)`."""
    betas = torch.linspace(beta_start, beta_end, num_timesteps)
    alphas_bar = torch.cumprod(1 - betas, 0)
    previous = torch.cat([torch.ones(1), alphas_bar[:-1]])
    variances = betas * (1 - previous) / (1 - alphas_bar)
    actions = torch.randn(shape, generator=generator)
    for t in reversed(range(num_timesteps)):
        noise = predict_noise(actions, torch.full((shape[0],), t))
        actions = (1 - betas[t]).rsqrt() * (actions - betas[t] * noise / (1 - alphas_bar[t]).sqrt())
        if t > 0:
            actions = actions + variances[t].sqrt() * torch.randn(shape, generator=generator)
    return actions
