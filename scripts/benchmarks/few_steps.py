"""What few denoising steps do to the samples: a policy with two equally good actions for every observation.

python scripts/benchmarks/few_steps.py

The true actions are known: two modes, mirror images of each other, with a spread of SPREAD around each. The reference
MLP is trained on them, then every sampler starts from the same noise.
"""

import sys
from dataclasses import dataclass
from typing import Literal

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, SchedulerMixin, UniPCMultistepScheduler
from measuring import machine, report
from torch.nn import functional as F
from tqdm import tqdm

from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer
from dp_hf.cli.arguments import parse, run
from dp_hf.models.mlp_denoiser import MLPDenoiser

ACTION_DIM, OBSERVATION_DIM = 7, 4
SPREAD = 0.03  # standard deviation, of normalised actions in [-1, 1]
OFF_MODE = 6 * SPREAD  # farther from both modes than all but one in 10,000 of the true actions

SAMPLERS: dict[str, tuple[type[SchedulerMixin], dict]] = {
    "DDPM": (DDPMScheduler, {}),
    "DDIM": (DDIMScheduler, {}),
    "DPM-Solver++": (DPMSolverMultistepScheduler, {}),
    "SDE-DPM-Solver++": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "UniPC": (UniPCMultistepScheduler, {}),
}


@dataclass
class FewStepsArguments:
    """Trains a small denoiser on actions with two modes and measures samplers on it."""

    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    """What the network predicts."""
    beta_schedule: Literal["linear", "squaredcos_cap_v2"] = "linear"
    """Noise schedule; linear is the reference's."""
    training_steps: int = 8000
    """Updates with batches of 512."""
    observations: int = 16
    """Observations that are sampled for."""
    samples: int = 128
    """Samples for each of them."""
    steps: tuple[int, ...] = (10, 20, 50, 100)
    """Numbers of denoising steps, beside DDPM with all 1000."""
    seed: int = 0
    """Of the data, the weights and the noise."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(FewStepsArguments, None, "few_steps.py"))


def benchmark(arguments: FewStepsArguments) -> None:
    torch.manual_seed(arguments.seed)
    mixing = torch.randn(OBSERVATION_DIM, ACTION_DIM)
    options = {"prediction_type": arguments.prediction_type, "beta_schedule": arguments.beta_schedule}
    training = DDPMScheduler(1000, **options)
    denoiser = train(training, mixing, arguments.training_steps)
    observations = torch.randn(arguments.observations, OBSERVATION_DIM)

    rows = [measure("true actions", 0, true_actions(observations, mixing, arguments.samples), observations, mixing)]
    runs = [("DDPM", "trailing", 1000)]
    runs += [(name, "trailing", steps) for name in SAMPLERS for steps in arguments.steps]
    runs += [("DDIM", "leading", steps) for steps in arguments.steps]
    for name, spacing, steps in tqdm(runs, desc="sampling", leave=False):
        scheduler_class, extra = SAMPLERS[name]
        if scheduler_class in (DDPMScheduler, DDIMScheduler):
            extra = extra | {"clip_sample": True}
        scheduler = scheduler_class(1000, **options, **extra, timestep_spacing=spacing)
        generator = torch.Generator().manual_seed(arguments.seed)
        actions = make_pipeline(denoiser, scheduler).sample(
            observations, None, steps, generator, num_samples=arguments.samples, fast=False
        )
        rows.append(
            measure(
                f"{name}, {spacing}", steps, actions.view(arguments.observations, -1, ACTION_DIM), observations, mixing
            )
        )
    title = f"{arguments.prediction_type}, {arguments.beta_schedule} betas, clipped to [-1, 1] where the sampler can"
    report({"machine": machine(), "tables": {title: rows}}, arguments.json)


def make_pipeline(denoiser: MLPDenoiser, scheduler: SchedulerMixin) -> DiffusionPolicyPipeline:
    """A pipeline whose denoiser is this one; the observations stand for the features of its encoder."""
    policy = DiffusionPolicyModel(image_encoder="small_cnn", image_size=(32, 32))
    policy.denoising_network = denoiser
    return DiffusionPolicyPipeline(policy, scheduler, Normalizer("identity"))


def modes(observations: torch.Tensor, mixing: torch.Tensor) -> torch.Tensor:
    """(N, ACTION_DIM), one of the two; the other is its negative."""
    return 0.7 * torch.tanh(observations @ mixing)


def true_actions(observations: torch.Tensor, mixing: torch.Tensor, samples: int) -> torch.Tensor:
    """(N, samples, ACTION_DIM)."""
    centre = modes(observations, mixing)[:, None]
    sign = torch.randint(0, 2, (len(observations), samples, 1)) * 2 - 1
    return sign * centre + SPREAD * torch.randn(len(observations), samples, ACTION_DIM)


def train(scheduler: DDPMScheduler, mixing: torch.Tensor, steps: int) -> MLPDenoiser:
    denoiser = MLPDenoiser(ACTION_DIM, 1, OBSERVATION_DIM, dropout=0.0)
    optimizer = torch.optim.AdamW(denoiser.parameters(), 1e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in tqdm(range(steps), desc="training", leave=False):
        observations = torch.randn(512, OBSERVATION_DIM)
        actions = true_actions(observations, mixing, 1)
        noise, timesteps = torch.randn_like(actions), torch.randint(0, 1000, (512,))
        noisy_actions = scheduler.add_noise(actions, noise, timesteps)
        target = {
            "epsilon": noise,
            "sample": actions,
            "v_prediction": scheduler.get_velocity(actions, noise, timesteps),
        }[scheduler.config.prediction_type]
        loss = F.mse_loss(denoiser(noisy_actions, timesteps, observations), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    return denoiser.eval()


def measure(name: str, steps: int, actions: torch.Tensor, observations: torch.Tensor, mixing: torch.Tensor) -> dict:
    """How the samples (N, samples, ACTION_DIM) lie around the modes."""
    centre = modes(observations, mixing)[:, None]
    is_first = (actions - centre).norm(dim=-1) < (actions + centre).norm(dim=-1)
    offset = actions - torch.where(is_first[..., None], centre, -centre)
    on_mode = offset.norm(dim=-1) < OFF_MODE
    return {
        "sampler": name,
        "steps": steps or None,
        "on no mode, %": 100 * (1 - on_mode.float().mean().item()),
        "spread / true": offset[on_mode].std().item() / SPREAD if on_mode.any() else None,
        "error of the modes": offset[on_mode].mean().abs().item() if on_mode.any() else None,
        "at the first mode, %": 100 * is_first.float().mean().item(),
    }


if __name__ == "__main__":
    sys.exit(main())
