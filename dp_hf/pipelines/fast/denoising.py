"""The denoising loop, sooner, for DDPM and DDIM: above all with the MLP denoisers."""

import functools
import logging
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from diffusers import SchedulerMixin

from dp_hf.models.onnx_policy import OnnxPolicy
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.pipelines.fast.cuda_graph import replay_steps
from dp_hf.pipelines.fast.folded_mlp import FoldedMLP
from dp_hf.pipelines.fast.folding import FoldedDenoiser, can_fold, fold
from dp_hf.pipelines.fast.scheduler_updates import scheduler_updates
from dp_hf.pipelines.inputs import StepEnd
from dp_hf.pipelines.schedule import StepTable

logger = logging.getLogger(__name__)

# The compiled run takes one chunk after the other; torch's matrix products are faster for larger batches.
MAX_COMPILED_BATCH = 8
# Shorter runs take torch 10 ms at most; loading numba takes half a second once, a CUDA graph some milliseconds.
MIN_COMPILED_STEPS = 200
NOISE_BLOCK = 128  # steps whose noise is held at a time


def denoise_fast(
    policy: DiffusionPolicyModel | OnnxPolicy,
    observation: torch.Tensor,
    scheduler: SchedulerMixin,
    actions: torch.Tensor,
    generator: Any,
    step_end: StepEnd | None,
    num_committed: int = 0,
) -> torch.Tensor | None:
    """What the loop of `DiffusionPolicyPipeline.sample` gives, by the fastest way that gives it.

    Args:
        observation: features (B, observation_dim), as `policy.observation_features` and `with_prefix` make them.
        scheduler: with its timesteps set.
        actions: noise (B, horizon, action_dim), float32; overwritten.
        generator: None, one, or one for each of the batch.
        step_end: called after each step.
        num_committed: the first actions of each chunk, so many, stay as they are.

    Returns:
        normalised actions (B, horizon, action_dim), float32; None for a denoiser or a scheduler that no way covers.
    """
    updates = scheduler_updates(scheduler) if can_fold(policy.denoising_network) else None
    if updates is None:
        return None
    shape, device = actions.shape, actions.device
    with torch.inference_mode():
        denoiser = fold(policy.denoising_network, updates.timesteps.to(device), observation)
        kept = num_committed * shape[2]
        actions = actions.flatten(1)
        noise = noise_blocks(updates, actions, generator)
        compiles = step_end is None and len(updates.timesteps) >= MIN_COMPILED_STEPS
        small_mlp = isinstance(denoiser, FoldedMLP) and device.type == "cpu" and len(actions) <= MAX_COMPILED_BATCH
        if compiles and small_mlp and (run_compiled := load_compiled()):
            run_compiled(denoiser, updates, actions, torch.cat(list(noise)), kept)
        elif compiles and device.type == "cuda":
            replay_steps(
                denoising_step(denoiser, updates, kept), actions, [torch.cat(list(noise)), *tables(denoiser, updates)]
            )
        else:
            actions = run_eagerly(denoiser, updates, actions, noise, shape, step_end, kept)
    return actions.view(shape).clone()  # not in inference mode, so this is an ordinary tensor


@functools.cache
def load_compiled() -> Callable | None:
    """The compiled run, or None where numba is missing or cannot compile."""
    try:
        from dp_hf.pipelines.fast.numba_loop import run_compiled
    except Exception as error:  # whatever numba, LLVM or the cache folder raise, torch does it as well
        logger.info("sampling without numba: %s", error)
        return None
    return run_compiled


def run_eagerly(
    denoiser: FoldedDenoiser,
    updates: StepTable[torch.Tensor],
    actions: torch.Tensor,
    noise: Iterator[torch.Tensor],
    shape: tuple[int, ...],
    step_end: StepEnd | None,
    kept: int,
) -> torch.Tensor:
    """All steps from actions (B, horizon * action_dim), one call of torch after the other."""
    step = denoising_step(denoiser, updates, kept)
    noise_rows = chain.from_iterable(block.unbind() for block in noise)
    rows = zip(noise_rows, *(table.unbind() for table in tables(denoiser, updates)), strict=True)
    for index, row in enumerate(rows):
        actions = step(actions, *row)
        if step_end is not None:
            with torch.inference_mode(False), torch.no_grad():
                actions = step_end(index, updates.timesteps[index], actions.view(shape).clone()).flatten(1)
    return actions


def denoising_step(
    denoiser: FoldedDenoiser, updates: StepTable[torch.Tensor], kept: int = 0
) -> Callable[..., torch.Tensor]:
    """A step from actions (B, horizon * action_dim) to the next ones, given its noise and its row of each table.

    The first `kept` numbers of each chunk, which are committed, stay as they are.
    """
    clip, uses_prediction = updates.clip, bool(updates.coefficients[:, 4].any())

    def step(actions, noise, a, b, c, d, e, *biases):
        prediction = denoiser.predict(actions, biases)
        clean = torch.addcmul(actions * a, prediction, b).clamp_(-clip, clip)
        previous = torch.addcmul(noise, clean, c).addcmul_(actions, d)
        if uses_prediction:
            previous.addcmul_(prediction, e)
        if kept:
            previous[:, :kept] = actions[:, :kept]
        return previous

    return step


def tables(denoiser: FoldedDenoiser, updates: StepTable[torch.Tensor]) -> list[torch.Tensor]:
    """What `denoising_step` reads besides the noise, each with a row for each step."""
    return [*updates.coefficients.to(denoiser.observation.device).unbind(1), *denoiser.tables(len(updates.timesteps))]


def noise_blocks(updates: StepTable[torch.Tensor], actions: torch.Tensor, generator: Any) -> Iterator[torch.Tensor]:
    """sigma noise of all steps, (at most NOISE_BLOCK, *actions.shape) at a time, on the actions' device.

    Each step is a draw of its own, exactly as `randn_tensor` makes it: a larger draw need not give the same numbers.
    """
    generators = generator if isinstance(generator, list) else [generator]
    device = actions.device if generators[0] is None else generators[0].device
    for start in range(0, len(updates.sigma), NOISE_BLOCK):
        sigma = updates.sigma[start : start + NOISE_BLOCK, None, None].to(device)
        noise = torch.zeros(len(sigma), *actions.shape, device=device, dtype=torch.float32)
        for row in noise[: max(0, updates.draws - start)].unbind():
            # One generator draws for the whole batch, several draw for an item each.
            for part, own in zip(row.split(1) if len(generators) > 1 else [row], generators, strict=False):
                part.normal_(generator=own)
        yield noise.mul_(sigma).to(actions.device)
