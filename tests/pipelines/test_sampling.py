"""The plain loop against the DDPM and DDIM formulas as published, written once more in numpy."""

import copy

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer
from dp_hf.errors import UserError
from dp_hf.pipelines.inputs import require_supported


def predict(x: np.ndarray, t: int) -> np.ndarray:
    """Some smooth function that stands for a denoiser."""
    return 0.3 * np.sin(x) + 0.1 * np.cos(t / 50) * x


def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(predict(x.double().numpy(), int(t[0]))).float()


def sample_loop(scheduler, shape: tuple[int, ...], steps: int, generator=None, **options) -> torch.Tensor:
    """The plain loop over `denoise`."""
    policy = DiffusionPolicyModel(image_encoder="small_cnn", image_size=(32, 32), horizon=shape[1])
    policy.denoise = lambda noisy_actions, timesteps, observation: denoise(noisy_actions, timesteps)
    pipeline = DiffusionPolicyPipeline(policy, scheduler, Normalizer("identity"))
    return pipeline.sample(torch.zeros(shape[0], 64), None, steps, generator, fast=False, **options)


def published_ddpm(predict, shape: tuple[int, ...], steps: int, seed: int) -> np.ndarray:
    """Ho et al. 2020, algorithm 2, with the variance beta * (1 - abar_prev) / (1 - abar) and clipped x0, in float64."""
    beta = np.linspace(1e-4, 0.02, steps)
    abar = np.cumprod(1 - beta)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator).double().numpy()
    for t in reversed(range(steps)):
        abar_prev = abar[t - 1] if t > 0 else 1.0
        x0 = np.clip((x - np.sqrt(1 - abar[t]) * predict(x, t)) / np.sqrt(abar[t]), -1, 1)
        mean = np.sqrt(abar_prev) * beta[t] / (1 - abar[t]) * x0
        mean += np.sqrt(1 - beta[t]) * (1 - abar_prev) / (1 - abar[t]) * x
        noise = torch.randn(shape, generator=generator).double().numpy() if t > 0 else 0
        x = mean + np.sqrt(beta[t] * (1 - abar_prev) / (1 - abar[t])) * noise
    return x


def test_ddpm_is_the_published_algorithm():
    scheduler = DDPMScheduler(1000, 1e-4, 0.02, "linear")
    sampled = sample_loop(scheduler, (2, 1, 7), 1000, torch.Generator().manual_seed(3))
    # The scheduler's float32 tables round 1 - abar, which is 1e-4 at first.
    np.testing.assert_allclose(sampled.numpy(), published_ddpm(predict, (2, 1, 7), 1000, 3), atol=5e-5)


def test_the_policy_samples_as_published():
    """The reference's denoiser over the reference's 1000 steps, by the path that the pipeline takes."""
    torch.manual_seed(0)
    policy = DiffusionPolicyModel(image_encoder="small_cnn", image_size=(32, 32)).eval()
    observation = torch.randn(2, 64)
    pipeline = DiffusionPolicyPipeline(policy, DDPMScheduler(1000, 1e-4, 0.02, "linear"), Normalizer("identity"))
    sampled = pipeline.sample(observation, None, 1000, torch.Generator().manual_seed(3))

    network = copy.deepcopy(policy.denoising_network).double()

    @torch.no_grad()
    def predict(x, t):
        # The embedding is float32 in the reference too.
        time = policy.denoising_network.time_embedding(torch.tensor([t])).double().expand(2, -1)
        hidden = torch.cat([torch.from_numpy(x).flatten(1), observation.double(), time], dim=1)
        for layer in network.layers:
            hidden = torch.relu(layer(hidden))
        return network.output(hidden).view(2, 1, 7).numpy()

    np.testing.assert_allclose(sampled.numpy(), published_ddpm(predict, (2, 1, 7), 1000, 3), atol=1e-5)


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_ddim_is_the_published_algorithm(prediction_type):
    """Song et al. 2020, eta 0, trailing steps."""
    scheduler = DDIMScheduler(
        100, 1e-4, 0.02, "linear", prediction_type=prediction_type, timestep_spacing="trailing", set_alpha_to_one=True
    )
    sampled = sample_loop(scheduler, (1, 4, 7), 10, torch.Generator().manual_seed(1))

    abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 100))
    x = torch.randn((1, 4, 7), generator=torch.Generator().manual_seed(1)).double().numpy()
    for t in range(99, -1, -10):
        a, a_prev = abar[t], abar[t - 10] if t >= 10 else 1.0
        output = predict(x, t)
        x0 = {
            "epsilon": (x - np.sqrt(1 - a) * output) / np.sqrt(a),
            "sample": output,
            "v_prediction": np.sqrt(a) * x - np.sqrt(1 - a) * output,
        }[prediction_type]
        noise = (x - np.sqrt(a) * x0) / np.sqrt(1 - a) if prediction_type != "epsilon" else output
        if prediction_type == "v_prediction":
            noise = np.sqrt(a) * output + np.sqrt(1 - a) * x
        x = np.sqrt(a_prev) * np.clip(x0, -1, 1) + np.sqrt(1 - a_prev) * noise
    np.testing.assert_allclose(sampled.numpy(), x, atol=1e-5)


def test_callback_sees_every_step():
    seen = []

    def callback(pipeline, index, timestep, tensors):
        seen.append((index, timestep, tensors["latents"].clone()))

    last = sample_loop(DDPMScheduler(8), (1, 2, 7), 8, callback_on_step_end=callback)
    assert [(i, t) for i, t, _ in seen] == [(i, 7 - i) for i in range(8)]
    assert torch.equal(seen[-1][2], last)


def test_one_generator_for_each_of_the_batch():
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    both = sample_loop(DDPMScheduler(8), (2, 1, 7), 8, generators)
    alone = sample_loop(DDPMScheduler(8), (1, 1, 7), 8, torch.Generator().manual_seed(6))
    torch.testing.assert_close(both[1:], alone)


def test_flow_matching_is_refused():
    with pytest.raises(UserError, match="FlowMatchEulerDiscreteScheduler"):
        require_supported(FlowMatchEulerDiscreteScheduler())
