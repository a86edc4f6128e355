"""Sampling an action chunk: plain functions over a denoiser and a diffusers scheduler."""

import inspect
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from diffusers.utils.torch_utils import randn_tensor

from dp_hf.errors import UserError
from dp_hf.models.policy import DiffusionPolicyModel

Denoise: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Callback: TypeAlias = Callable[[int, int, torch.Tensor], None]
Generator: TypeAlias = "torch.Generator | list[torch.Generator] | None"

# They share the discrete forward process (betas) and the prediction types that the policy is trained with.
SCHEDULERS = (DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler)


def require_supported(scheduler: SchedulerMixin) -> None:
    """Raises `UserError` for a scheduler whose forward process is not the policy's, such as flow matching."""
    if not isinstance(scheduler, SCHEDULERS):
        names = ", ".join(supported.__name__ for supported in SCHEDULERS)
        raise UserError(f"{type(scheduler).__name__} does not share the policy's noise process; use one of {names}")


def sample(
    policy: DiffusionPolicyModel,
    observation: torch.Tensor,
    scheduler: SchedulerMixin,
    num_inference_steps: int,
    generator: Generator = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """`sample_loop` over a policy's denoiser, given observation features (B, observation_dim)."""
    return sample_loop(
        lambda noisy_actions, timesteps: policy.denoise(noisy_actions, timesteps, observation),
        scheduler,
        (len(observation), policy.config.horizon, policy.config.action_dim),
        num_inference_steps,
        generator,
        observation.device,
        policy.dtype,
        callback,
    )


def sample_loop(
    denoise: Denoise,
    scheduler: SchedulerMixin,
    shape: Sequence[int],
    num_inference_steps: int,
    generator: Generator = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    callback: Callback | None = None,
) -> torch.Tensor:
    """The plain diffusers loop: start from noise, denoise, step.

    Args:
        denoise: (noisy actions (B, horizon, action_dim), timesteps (B,)) to a prediction of the same shape.
        scheduler: its state is set by this call.
        shape: (B, horizon, action_dim).
        generator: one, or one for each of the batch.
        dtype: what the denoiser computes in; the chunk itself stays float32.
        callback: called after each step with (step index, timestep, noisy actions).

    Returns:
        normalised actions, `shape`, float32.
    """
    scheduler.set_timesteps(num_inference_steps, device=device)
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    step_kwargs = {"generator": generator} if takes_generator else {}
    actions = randn_tensor(shape, generator=generator, device=torch.device(device)) * scheduler.init_noise_sigma
    for index, timestep in enumerate(scheduler.timesteps):
        model_input = scheduler.scale_model_input(actions, timestep)
        prediction = denoise(model_input.to(dtype), timestep.expand(shape[0])).float()
        actions = scheduler.step(prediction, timestep, actions, **step_kwargs).prev_sample
        if callback is not None:
            callback(index, int(timestep), actions)
    return actions
