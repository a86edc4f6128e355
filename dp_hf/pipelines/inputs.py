"""What a caller of the pipeline gives, as tensors that the policy computes with; what cannot be meant is refused."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
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

from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.models.image_processor import ImageLike, preprocess_image, require_dense

Frame: TypeAlias = "ImageLike | Mapping[str, ImageLike]"
Numbers: TypeAlias = "np.ndarray | torch.Tensor | Sequence"
Generator: TypeAlias = "torch.Generator | list[torch.Generator] | None"
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
    return _require_count(num_inference_steps, "num_inference_steps", scheduler.config.num_train_timesteps)


def prepare_images(image: Any, config: Any) -> torch.Tensor:
    """Whatever a pipeline accepts as `image`, as uint8 (B, n_obs_steps, n_cameras, 3, H, W).

    Args:
        config: the policy's.
    """
    if isinstance(image, torch.Tensor):
        require_dense(image, "an image tensor")
    is_batch = isinstance(image, (list, tuple)) or getattr(image, "ndim", 3) == 4
    histories = []
    for item in image if is_batch else [image]:
        frames = list(item) if isinstance(item, (list, tuple)) else [item] * config.n_obs_steps
        if len(frames) != config.n_obs_steps:
            raise UserError(f"this policy observes {config.n_obs_steps} frames at once; got {len(frames)}")
        histories.append(torch.stack([_prepare_frame(frame, config) for frame in frames]))
    if not histories:
        raise UserError("no image was given")
    return torch.stack(histories)


def _prepare_frame(frame: Frame, config: Any) -> torch.Tensor:
    names = config.camera_names
    if not isinstance(frame, Mapping):
        if len(names) > 1:
            raise UserError(f"this policy sees the cameras {', '.join(names)}: pass a dict of their images")
        frame = {names[0]: frame}
    if missing := [name for name in names if name not in frame]:
        raise UserError(f"no image for camera {', '.join(missing)}; got {', '.join(map(str, frame))}")
    return torch.stack([preprocess_image(frame[name], tuple(config.image_size)) for name in names])


def prepare_state(state: "Numbers | None", config: Any, batch_size: int) -> torch.Tensor:
    """Whatever a pipeline accepts as `state`, as float32 (B, n_obs_steps, state_dim).

    Args:
        config: the policy's.
    """
    if state is None:
        raise UserError(f"this policy uses proprioception: pass state=, {quantities_of(config, 'state')}")
    states = _as_float32(state, "state")
    given = tuple(states.shape)
    if states.ndim == 1:
        states = states[None]
    if states.ndim == 2:
        states = states[:, None].expand(-1, config.n_obs_steps, -1)
    if states.ndim == 3 and len(states) == 1:
        states = states.expand(batch_size, -1, -1)
    expected = (batch_size, config.n_obs_steps, config.state_dim)
    if states.shape != expected:
        raise UserError(f"state must be {expected} or a part of it; got {given}")
    if not torch.isfinite(states).all():
        raise UserError(f"state holds a value that is not finite: {state}")
    return states


def prepare_generator(generator: Generator, num_chunks: int, device: torch.device) -> Generator:
    """None, one generator for all chunks, or a list with one for each."""
    generators = [] if generator is None else [generator] if not isinstance(generator, (list, tuple)) else generator
    for each in generators:
        if not isinstance(each, torch.Generator):
            raise UserError(f"generator is a torch.Generator or a list of them; got {each!r}")
        if each.device.type not in ("cpu", device.type):
            raise UserError(f"generator is on {each.device}, the policy on {device}: make it there, or on the CPU")
    if generator is None or len(generators) == 1:
        return generators[0] if generators else None
    if len(generators) != num_chunks:
        raise UserError(f"{num_chunks} chunks are sampled, and generator is a list of {len(generators)}")
    return list(generators)


def prepare_latents(
    latents: "np.ndarray | torch.Tensor | None", shape: tuple[int, ...], generator: Generator, device: torch.device
) -> torch.Tensor:
    """Starting noise, float32 of `shape`: what the caller gives, or what the generator draws."""
    if latents is None:
        return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
    noise = _as_float32(latents, "latents")
    if noise.shape != shape:
        raise UserError(f"latents must be {shape}; got {tuple(noise.shape)}")
    if not torch.isfinite(noise).all():
        raise UserError("latents hold a value that is not finite")
    return noise.to(device)


def repeat_for_samples(observation: torch.Tensor, num_samples: Any) -> torch.Tensor:
    """Each row of observation features (B, observation_dim), `num_samples` times in a row."""
    return observation.repeat_interleave(_require_count(num_samples, "num_samples"), dim=0)


def prepare_callback(
    pipeline: Any, callback: Callable[..., Any] | None, tensor_inputs: Sequence[str]
) -> StepEnd | None:
    """`callback_on_step_end` as diffusers calls it, for a loop that only knows of its noisy actions."""
    if callback is None:
        return None
    if isinstance(callback, (PipelineCallback, MultiPipelineCallbacks)):
        tensor_inputs = callback.tensor_inputs
    if unknown := [name for name in tensor_inputs if name not in pipeline._callback_tensor_inputs]:
        known = ", ".join(pipeline._callback_tensor_inputs)
        raise UserError(f"callback_on_step_end_tensor_inputs are of {known}; got {', '.join(map(str, unknown))}")

    def step_end(index: int, timestep: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        given = {"latents": latents} if "latents" in tensor_inputs else {}
        replaced = (callback(pipeline, index, timestep, given) or {}).get("latents", latents)
        if not isinstance(replaced, torch.Tensor):
            raise UserError(f"callback_on_step_end returns latents as a tensor; got {type(replaced).__name__}")
        replaced = _as_float32(replaced, "what callback_on_step_end returns as latents")
        if replaced.shape != latents.shape:
            raise UserError(
                f"callback_on_step_end returned latents {tuple(replaced.shape)}, not a tensor {tuple(latents.shape)}"
            )
        return replaced.to(latents)

    return step_end


def _require_count(count: Any, name: str, most: int | None = None) -> int:
    is_count = isinstance(count, Integral) and not isinstance(count, bool)
    if not is_count or count < 1 or (most is not None and count > most):
        raise UserError(f"{name} is 1 {'or more' if most is None else f'to {most}'}; got {count!r}")
    return int(count)


def _as_float32(values: Any, name: str) -> torch.Tensor:
    """An array, tensor or nested list of real numbers as a new or shared float32 tensor of its shape."""
    if not isinstance(values, torch.Tensor):
        try:
            array = np.asarray(values)
        except (TypeError, ValueError, RuntimeError):  # rows of different lengths, tensors that numpy cannot hold
            array = np.empty((), dtype=object)
        if array.dtype.kind not in "fiu" or np.ma.is_masked(values):
            raise UserError(f"{name} is an array of numbers; got {str(values)[:80]}")
        with np.errstate(over="ignore"):
            values = torch.from_numpy(array.astype(np.float32, order="C"))
    else:
        require_dense(values, name)
        if not values.is_floating_point() and values.dtype not in _INTEGERS:
            raise UserError(f"{name} is a tensor of numbers; got {values.dtype}")
    return values.detach().float()
