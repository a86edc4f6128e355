"""What a caller of the pipeline gives, as tensors that the policy computes with; what cannot be meant is refused.

The rules are those of `arguments`; here torch comes to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.utils.torch_utils import randn_tensor

from dp_hf.errors import UserError
from dp_hf.models.image_processor import ImageLike, pixels_of_any, require_dense
from dp_hf.pipelines.arguments import (
    as_float32,
    is_seed,
    one_or_each,
    require_count,
    require_noise,
    spread_prefix,
    spread_state,
    stack_images,
    step_end_of,
)

Frame: TypeAlias = "ImageLike | Mapping[str, ImageLike]"
Numbers: TypeAlias = "np.ndarray | torch.Tensor | Sequence"
Generator: TypeAlias = "int | torch.Generator | list[int] | list[torch.Generator] | None"
StepEnd: TypeAlias = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]
"""(step index, timestep, noisy actions) to the noisy actions that the next step begins with."""

# They share the discrete forward process (betas) and the prediction types that the policy is trained with.
SCHEDULERS = (DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler)

# Not complex, truth values, quantised ones or bits.
_INTEGERS = (
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)


def require_supported(scheduler: SchedulerMixin) -> None:
    """Raises `UserError` for a scheduler whose forward process is not the policy's, such as flow matching."""
    if not isinstance(scheduler, SCHEDULERS):
        names = ", ".join(supported.__name__ for supported in SCHEDULERS)
        raise UserError(f"{type(scheduler).__name__} does not share the policy's noise process; use one of {names}")


def require_steps(num_inference_steps: Any, scheduler: SchedulerMixin) -> int:
    """The number of denoising steps, where it is one that the scheduler has."""
    return require_count(num_inference_steps, "num_inference_steps", scheduler.config.num_train_timesteps)


def prepare_images(image: Any, config: Any) -> torch.Tensor:
    """Whatever a pipeline accepts as `image`, as uint8 (B, n_obs_steps, n_cameras, 3, H, W).

    Args:
        config: the policy's.
    """
    if isinstance(image, torch.Tensor):
        require_dense(image, "an image tensor")
    return torch.from_numpy(stack_images(image, config, pixels_of_any))


def prepare_state(state: "Numbers | None", config: Any, batch_size: int) -> torch.Tensor:
    """Whatever a pipeline accepts as `state`, as float32 (B, n_obs_steps, state_dim).

    Args:
        config: the policy's.
    """
    states = None if state is None else _as_float32(state, "state").cpu().numpy()
    return torch.from_numpy(spread_state(states, config, batch_size))


def prepare_prefix(prefix: "Numbers | None", config: Any, num_chunks: int, num_samples: Any) -> torch.Tensor:
    """Whatever a pipeline accepts as `prefix`, as float32 (num_chunks, n, action_dim); n = 0 for None.

    Args:
        config: the policy's.
        num_samples: chunks that each prefix is for.
    """
    given = None if prefix is None else _as_float32(prefix, "prefix").cpu().numpy()
    return repeat_for_samples(torch.from_numpy(spread_prefix(given, config, num_chunks // num_samples)), num_samples)


def prepare_generator(generator: Generator, num_chunks: int, device: torch.device) -> Any:
    """None, one generator for all chunks, or a list with one for each."""

    def as_generator(given: Any) -> torch.Generator:
        if is_seed(given):
            return torch.Generator().manual_seed(int(given))
        if not isinstance(given, torch.Generator):
            raise UserError(f"generator is a seed, a torch.Generator or a list of them; got {given!r}")
        if given.device.type not in ("cpu", device.type):
            raise UserError(f"generator is on {given.device}, the policy on {device}: make it there, or on the CPU")
        return given

    generators = one_or_each(generator, num_chunks, as_generator)
    return generators if len(generators) > 1 else generators[0] if generators else None


def prepare_latents(
    latents: "np.ndarray | torch.Tensor | None", shape: tuple[int, ...], generator: Any, device: torch.device
) -> torch.Tensor:
    """Starting noise, float32 of `shape`: what the caller gives, or what the generator draws."""
    if latents is None:
        return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
    noise = require_noise(_as_float32(latents, "latents").cpu().numpy(), shape)
    return torch.from_numpy(noise.copy()).to(device)


def repeat_for_samples(observation: torch.Tensor, num_samples: Any) -> torch.Tensor:
    """Each row of a batch (B, ...), such as observation features, `num_samples` times in a row."""
    return observation.repeat_interleave(require_count(num_samples, "num_samples"), dim=0)


def prepare_callback(
    pipeline: Any, callback: Callable[..., Any] | None, tensor_inputs: Sequence[str]
) -> StepEnd | None:
    """`callback_on_step_end` as diffusers calls it, for a loop that only knows of its noisy actions."""
    if callback is None:
        return None
    if isinstance(callback, (PipelineCallback, MultiPipelineCallbacks)):
        tensor_inputs = callback.tensor_inputs

    def like(returned: Any, latents: torch.Tensor) -> torch.Tensor:
        if not isinstance(returned, torch.Tensor):
            raise UserError(f"callback_on_step_end returns latents as a tensor; got {type(returned).__name__}")
        returned = _as_float32(returned, "what callback_on_step_end returns as latents")
        if returned.shape != latents.shape:
            raise UserError(
                f"callback_on_step_end returned latents {tuple(returned.shape)}, not a tensor {tuple(latents.shape)}"
            )
        return returned.to(latents)

    return step_end_of(pipeline, callback, tensor_inputs, like)


def _as_float32(values: Any, name: str) -> torch.Tensor:
    """An array, tensor or nested list of real numbers as a new or shared float32 tensor of its shape."""
    if not isinstance(values, torch.Tensor):
        return torch.from_numpy(as_float32(values, name))
    require_dense(values, name)
    if not values.is_floating_point() and values.dtype not in _INTEGERS:
        raise UserError(f"{name} is a tensor of numbers; got {values.dtype}")
    return values.detach().float()
