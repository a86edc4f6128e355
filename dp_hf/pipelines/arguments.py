"""What a caller of a pipeline gives, as arrays that a policy computes with; what cannot be meant is refused.

Free of torch, so that an exported pipeline takes and refuses what the others do.
"""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.pictures import pixels

LARGEST_SEED = 2**63 - 1

Noise = TypeVar("Noise")
Latents = TypeVar("Latents")


def stack_images(
    image: Any, config: Any, pixels_of: Callable[[Any, tuple[int, int]], np.ndarray] = pixels
) -> np.ndarray:
    """Whatever a pipeline accepts as `image`, as uint8 (B, n_obs_steps, n_cameras, 3, H, W).

    Args:
        config: the policy's.
        pixels_of: makes uint8 (3, height, width) of a picture and a size.
    """
    is_batch = isinstance(image, (list, tuple)) or getattr(image, "ndim", 3) == 4
    histories = []
    for item in image if is_batch else [image]:
        frames = list(item) if isinstance(item, (list, tuple)) else [item] * config.n_obs_steps
        if len(frames) != config.n_obs_steps:
            raise UserError(f"this policy observes {config.n_obs_steps} frames at once; got {len(frames)}")
        histories.append(np.stack([_stack_cameras(frame, config, pixels_of) for frame in frames]))
    if not histories:
        raise UserError("no image was given")
    return np.stack(histories)


def _stack_cameras(frame: Any, config: Any, pixels_of: Callable[[Any, tuple[int, int]], np.ndarray]) -> np.ndarray:
    names = config.camera_names
    if not isinstance(frame, Mapping):
        if len(names) > 1:
            raise UserError(f"this policy sees the cameras {', '.join(names)}: pass a dict of their images")
        frame = {names[0]: frame}
    if missing := [name for name in names if name not in frame]:
        raise UserError(f"no image for camera {', '.join(missing)}; got {', '.join(map(str, frame))}")
    return np.stack([pixels_of(frame[name], tuple(config.image_size)) for name in names])


def spread_state(states: np.ndarray | None, config: Any, batch_size: int) -> np.ndarray:
    """The state of every observation, (B, n_obs_steps, state_dim), of what a caller may leave out of that shape.

    Args:
        states: float32, or None where none was given.
        config: the policy's.
    """
    if states is None:
        raise UserError(f"this policy uses proprioception: pass state=, {quantities_of(config, 'state')}")
    given = states.shape
    if states.ndim == 1:
        states = states[None]
    if states.ndim == 2:
        states = states[:, None].repeat(config.n_obs_steps, axis=1)
    if states.ndim == 3 and len(states) == 1:
        states = states.repeat(batch_size, axis=0)
    expected = (batch_size, config.n_obs_steps, config.state_dim)
    if states.shape != expected:
        raise UserError(f"state must be {expected} or a part of it; got {given}")
    if not np.isfinite(states).all():
        raise UserError(f"state holds a value that is not finite: {states}")
    return states


def spread_prefix(prefix: np.ndarray | None, config: Any, batch_size: int) -> np.ndarray:
    """The committed actions of every chunk, (B, n, action_dim), of what a caller may leave out of that shape.

    Args:
        prefix: float32, (n, action_dim) or (B, n, action_dim) with n up to the policy's `max_prefix`; None is n = 0.
        config: the policy's.
    """
    most = getattr(config, "max_prefix", 0)
    if prefix is None:
        return np.empty((batch_size, 0, config.action_dim), np.float32)
    given = prefix.shape
    if prefix.ndim == 2:
        prefix = prefix[None]
    if prefix.ndim == 3 and len(prefix) == 1:
        prefix = prefix.repeat(batch_size, axis=0)
    if prefix.ndim != 3 or prefix.shape[::2] != (batch_size, config.action_dim):
        raise UserError(f"prefix must be {(batch_size, 'n', config.action_dim)} or a part of it; got {given}")
    if prefix.shape[1] > most:
        learned = f"learned to go on from {most} committed actions at most" if most else "learned without a prefix"
        raise UserError(f"this policy {learned} (max_prefix); prefix has {prefix.shape[1]}")
    if not np.isfinite(prefix).all():
        raise UserError("prefix holds a value that is not finite")
    return prefix


def require_noise(latents: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`latents`, where they are noise that a chunk of `shape` can start from."""
    if latents.shape != shape:
        raise UserError(f"latents must be {shape}; got {latents.shape}")
    if not np.isfinite(latents).all():
        raise UserError("latents hold a value that is not finite")
    return latents


def one_or_each(generator: Any, num_chunks: int, as_generator: Callable[[Any], Noise]) -> list[Noise]:
    """No generator for None, one for all chunks, or one for each of them."""
    if generator is None:
        return []
    given = generator if isinstance(generator, (list, tuple)) else [generator]
    generators = [as_generator(each) for each in given]
    if len(generators) not in (1, num_chunks):
        raise UserError(f"{num_chunks} chunks are sampled, and generator is a list of {len(generators)}")
    return generators


def is_seed(value: Any) -> bool:
    """Whether a generator can be made of it."""
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 <= int(value) <= LARGEST_SEED


def step_end_of(
    pipeline: Any,
    callback: Callable[..., Any],
    tensor_inputs: Sequence[str],
    like: Callable[[Any, Latents], Latents],
) -> Callable[[int, Any, Latents], Latents]:
    """`callback_on_step_end` as diffusers calls it, for a loop that only knows of its noisy actions.

    Args:
        like: what the callback returned as `latents`, checked, as an array or tensor like those it was given.
    """
    if unknown := [name for name in tensor_inputs if name != "latents"]:
        raise UserError(f"callback_on_step_end_tensor_inputs are of latents; got {', '.join(map(str, unknown))}")

    def step_end(index: int, timestep: Any, latents: Latents) -> Latents:
        given = {"latents": latents} if "latents" in tensor_inputs else {}
        returned = callback(pipeline, index, timestep, given) or {}
        return like(returned["latents"], latents) if "latents" in returned else latents

    return step_end


def one_callback(
    callback: Callable[[int, int, Any], None] | None,
    callback_on_step_end: Callable[..., Any] | None,
    tensor_inputs: Sequence[str],
) -> tuple[Callable[..., Any] | None, Sequence[str]]:
    """`callback_on_step_end` and its inputs; or those of a `callback`, which gets (step index, timestep, actions)."""
    if callback is None:
        return callback_on_step_end, tensor_inputs
    if callback_on_step_end is not None:
        raise UserError("give either callback or callback_on_step_end")

    def step_end(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> None:
        callback(index, int(timestep), tensors["latents"])

    return step_end, ("latents",)


def require_count(count: Any, name: str, most: int | None = None) -> int:
    """`count` as an int, where it is a whole number from 1 to `most`."""
    is_count = isinstance(count, Integral) and not isinstance(count, bool)
    if not is_count or count < 1 or (most is not None and count > most):
        raise UserError(f"{name} is 1 {'or more' if most is None else f'to {most}'}; got {count!r}")
    return int(count)


def as_float32(values: Any, name: str) -> np.ndarray:
    """An array or nested list of real numbers as float32 of its shape."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths, tensors that numpy cannot hold
        array = np.empty((), dtype=object)
    if array.dtype.kind not in "fiu" or np.ma.is_masked(values):
        raise UserError(f"{name} is an array of numbers; got {str(values)[:80]}")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, order="C")
