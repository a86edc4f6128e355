"""The denoisers against the published formulas, written once more in numpy."""

import numpy as np
import pytest
import torch

from dp_hf.models.mlp_denoiser import LayerNormMLPDenoiser, MLPDenoiser
from dp_hf.models.unet1d_denoiser import ConditionalUnet1DModel


def sinusoid(timestep: int, dim: int = 64) -> np.ndarray:
    angles = timestep * np.exp(-np.log(10000) * np.arange(dim // 2) / (dim // 2 - 1))
    return np.concatenate([np.sin(angles), np.cos(angles)])


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * v * (1 + torch.erf(torch.tensor(v / np.sqrt(2), dtype=torch.float64)).item()) for v in x])


def linear(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    return layer.weight.detach().double().numpy() @ x + layer.bias.detach().double().numpy()


def layer_norm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


@pytest.mark.parametrize("timestep", [0, 7, 999])
def test_mlp_is_the_reference(timestep):
    torch.manual_seed(0)
    denoiser = MLPDenoiser(action_dim=7, horizon=1, observation_dim=512).eval()
    action, feature = torch.randn(1, 1, 7), torch.randn(1, 512)
    embedding = denoiser.time_embedding
    time = linear(embedding.linear_2, gelu(linear(embedding.linear_1, sinusoid(timestep))))
    hidden = np.concatenate([action.numpy().ravel(), feature.numpy().ravel(), time])
    for layer in denoiser.layers:
        hidden = np.maximum(linear(layer, hidden), 0)
    assert [layer.out_features for layer in denoiser.layers] == [256] * 4
    predicted = denoiser(action, torch.tensor([timestep]), feature)
    np.testing.assert_allclose(predicted.detach().numpy().ravel(), linear(denoiser.output, hidden), atol=1e-5)


def test_layer_norm_variant_is_the_reference():
    torch.manual_seed(0)
    denoiser = LayerNormMLPDenoiser(action_dim=7, horizon=1, observation_dim=512).eval()
    action, feature = torch.randn(1, 1, 7), torch.randn(1, 512)
    embedding = denoiser.time_embedding
    time = linear(embedding.linear_2, gelu(linear(embedding.linear_1, sinusoid(33))))
    observed = np.concatenate([action.numpy().ravel(), feature.numpy().ravel()])
    hidden = gelu(layer_norm(linear(denoiser.input, observed)))
    for layer in denoiser.layers:
        hidden = gelu(layer_norm(linear(layer, np.concatenate([hidden, time]))))
    predicted = denoiser(action, torch.tensor([33]), feature)
    np.testing.assert_allclose(predicted.detach().numpy().ravel(), linear(denoiser.output, hidden), atol=1e-5)


@pytest.mark.parametrize("horizon", [1, 3, 8, 16])
def test_unet_shapes_gradients_and_conditioning(horizon):
    torch.manual_seed(0)
    denoiser = ConditionalUnet1DModel(action_dim=7, observation_dim=20, down_dims=(16, 32, 64))
    actions, timesteps, observation = torch.randn(2, horizon, 7), torch.tensor([3, 50]), torch.randn(2, 20)
    predicted = denoiser(actions, timesteps, observation)
    assert predicted.shape == actions.shape
    predicted.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in denoiser.parameters())
    assert not torch.allclose(denoiser(actions, timesteps, observation + 1), predicted)
    assert not torch.allclose(denoiser(actions, timesteps + 40, observation), predicted)


@pytest.mark.parametrize(
    "make", [lambda: MLPDenoiser(2, 4, 3, dropout=0.0), lambda: ConditionalUnet1DModel(2, 3, (16, 32))]
)
def test_learns_to_denoise_towards_the_observation(make):
    """The clean chunk repeats the first two observed numbers: a few steps of training must find that."""
    torch.manual_seed(0)
    denoiser = make()
    optimizer = torch.optim.Adam(denoiser.parameters(), 3e-3)
    losses = []
    for _ in range(120):
        observation = torch.randn(64, 3)
        clean = observation[:, None, :2].expand(-1, 4, -1)
        noise, level = torch.randn(64, 4, 2), torch.randint(0, 100, (64,))
        noisy = clean + noise * (level / 100).view(-1, 1, 1)
        loss = (denoiser(noisy, level, observation) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.25 * np.mean(losses[:5])
