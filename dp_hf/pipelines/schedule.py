"""The steps of DDPM and DDIM as a table of coefficients, from a scheduler's saved config. Free of torch.

With torch, diffusers' own schedulers say which noise levels and timesteps a run has; where there is none they are
computed here, as diffusers does.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np

from dp_hf.errors import UserError
from dp_hf.ranges import Range, require_in_range

LARGEST_TIMESTEPS = 100_000
# What changes the numbers of a scheduler that a pipeline may have, since diffusers 0.35.
SCHEDULER_KEYS = {
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
    "variance_type", "clip_sample", "clip_sample_range", "set_alpha_to_one", "steps_offset", "timestep_spacing",
    "rescale_betas_zero_snr", "thresholding", "dynamic_thresholding_ratio", "sample_max_value", "solver_order",
    "solver_type", "solver_p", "predict_x0", "algorithm_type", "lower_order_final", "euler_at_final",
    "disable_corrector", "final_sigmas_type", "lambda_min_clipped", "use_karras_sigmas", "use_exponential_sigmas",
    "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas", "flow_shift",
}  # fmt: skip


Numbers = TypeVar("Numbers")


@dataclass(frozen=True)
class StepTable(Generic[Numbers]):
    """The steps of a run, each of them

        clean = clamp(a actions + b prediction, -clip, clip)
        actions = c clean + d actions + e prediction + sigma noise

    Args:
        timesteps: (steps,) int64; an array or a tensor, as the next two.
        coefficients: (steps, 5) float32, the columns a, b, c, d, e.
        sigma: (steps,) float32.
        draws: how many of the steps draw noise, the first ones.
        clip: bound of the clean chunk; infinite for none.
    """

    timesteps: Numbers
    coefficients: Numbers
    sigma: Numbers
    draws: int
    clip: float


@dataclass(frozen=True)
class _Schedule:
    """What DDPM and DDIM have in common; the arguments are those of diffusers' schedulers of these names.

    Raises:
        UserError: a value that has no meaning here.
    """

    num_train_timesteps: Annotated[int, Range(1, LARGEST_TIMESTEPS)]
    beta_start: float
    beta_end: float
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"]
    trained_betas: list[float] | None
    prediction_type: Literal["epsilon", "sample", "v_prediction"]
    clip_sample: bool
    clip_sample_range: Annotated[float, Range(above=0)]
    timestep_spacing: Literal["leading", "trailing", "linspace"]
    steps_offset: Annotated[int, Range(0)]
    thresholding: Literal[False]
    rescale_betas_zero_snr: Literal[False]

    def __post_init__(self):
        require_in_range(self)

    @cached_property
    def betas(self) -> np.ndarray:
        """Variances of the noise that each training timestep adds, (num_train_timesteps,) float32."""
        n, start, end = self.num_train_timesteps, self.beta_start, self.beta_end
        if self.trained_betas is not None:
            return np.array(self.trained_betas, np.float32)
        if self.beta_schedule == "linear":
            return np.linspace(start, end, n).astype(np.float32)
        if self.beta_schedule == "scaled_linear":
            return np.linspace(start**0.5, end**0.5, n).astype(np.float32) ** 2
        if self.beta_schedule == "sigmoid":
            return (1 / (1 + np.exp(-np.linspace(-6, 6, n))) * (end - start) + start).astype(np.float32)
        # Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 17.
        levels = [math.cos((i / n + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(n + 1)]
        return np.array([min(1 - levels[i + 1] / levels[i], 0.999) for i in range(n)], np.float32)

    def timesteps(self, num_inference_steps: int) -> np.ndarray:
        """The training timesteps that a run of so many steps visits, the noisiest first, int64.

        The three spacings are those of Lin et al. 2023, arXiv:2305.08891, table 2.
        """
        n = self.num_train_timesteps
        if self.timestep_spacing == "linspace":
            return np.linspace(0, n - 1, num_inference_steps).round()[::-1].astype(np.int64)
        if self.timestep_spacing == "leading":
            return (np.arange(num_inference_steps) * (n // num_inference_steps))[::-1] + self.steps_offset
        return np.round(np.arange(n, 0, -n / num_inference_steps)).astype(np.int64) - 1

    @cached_property
    def alpha_bars(self) -> np.ndarray:
        """Shares of the signal's variance that are left, as `step_table` wants them; of products in float64."""
        if self.beta_schedule == "linear":
            return (1 - self.betas.astype(np.float64)).cumprod()
        return (1 - self.betas).astype(np.float64).cumprod().astype(np.float32)

    def steps(self, num_inference_steps: int) -> StepTable[np.ndarray]:
        """The table of a run.

        Raises:
            UserError: the run cannot be: a timestep beyond the last, or a step without any signal to go by.
        """
        timesteps = self.timesteps(num_inference_steps)
        if timesteps.max() >= self.num_train_timesteps:
            raise UserError(
                f"steps_offset {self.steps_offset} takes {num_inference_steps} steps beyond the last timestep, "
                f"{self.num_train_timesteps - 1}: take fewer"
            )
        is_ddpm = isinstance(self, DDPMSchedule)
        table = step_table(np, self, self.alpha_bars, timesteps, num_inference_steps, is_ddpm)
        if table is None:
            raise UserError("the scheduler's betas leave no signal: with torch the pipeline runs as it is")
        coefficients, sigma = table.coefficients.astype(np.float32), table.sigma.astype(np.float32)
        return replace(table, coefficients=coefficients, sigma=sigma)


@dataclass(frozen=True)
class DDPMSchedule(_Schedule):
    """Of `diffusers.DDPMScheduler`."""

    variance_type: Literal["fixed_small", "fixed_small_log", "fixed_large"]


@dataclass(frozen=True)
class DDIMSchedule(_Schedule):
    """Of `diffusers.DDIMScheduler`, without noise in its steps."""

    set_alpha_to_one: bool


SCHEDULES = {"DDPMScheduler": DDPMSchedule, "DDIMScheduler": DDIMSchedule}


def step_table(
    xp: ModuleType,
    config: Any,
    alpha_bars: Any,
    timesteps: Any,
    num_inference_steps: int,
    is_ddpm: bool,
) -> StepTable[Any] | None:
    """The updates of `DDPMScheduler.step`, or of `DDIMScheduler.step`.

    The formulas are those of Ho et al. 2020, arXiv:2006.11239, eq. 7, and of Song et al. 2020, arXiv:2010.02502,
    eq. 12 with eta = 0. For linear betas, the reference's, `alpha_bars` are float64: a thousand steps then agree with
    the published algorithm to 1e-5, and to 1e-4 with diffusers, whose float32 `1 - alpha_bar` is off by up to 1e-3 of
    itself at first. For other betas that would be more, so these are float32 as diffusers has them.

    Args:
        xp: numpy or torch, whose the arrays are; each rounds in its own way, by a unit in the last place.
        config: of the scheduler.
        alpha_bars: (num_train_timesteps,) shares of the signal's variance that are left.
        timesteps: (steps,) int64.

    Returns:
        The table, in the precision of `alpha_bars`; None where a step would divide by zero: betas rescaled to zero
        terminal SNR leave no signal.
    """
    one = 0 * alpha_bars[timesteps] + 1
    if is_ddpm:
        previous, last = xp.concatenate([timesteps[1:], 0 * timesteps[:1] - 1]), one
    else:
        previous = timesteps - config.num_train_timesteps // num_inference_steps
        last = one if config.set_alpha_to_one else alpha_bars[0] * one
    alpha_bar = alpha_bars[timesteps]
    previous_alpha_bar = xp.where(previous >= 0, alpha_bars[previous.clip(0)], last)
    signal, spread, zero = alpha_bar**0.5, (1 - alpha_bar) ** 0.5, 0 * one

    # The clean chunk and the noise, each in terms of (actions, prediction).
    with np.errstate(divide="ignore", invalid="ignore"):
        clean, noise = {
            "epsilon": ((1 / signal, -spread / signal), (zero, one)),
            "sample": ((zero, one), (1 / spread, -signal / spread)),
            "v_prediction": ((signal, -spread), (spread, signal)),
        }[config.prediction_type]
        if is_ddpm:
            alpha = alpha_bar / previous_alpha_bar
            of_clean = previous_alpha_bar**0.5 * (1 - alpha) / (1 - alpha_bar)
            of_actions, of_prediction = alpha**0.5 * (1 - previous_alpha_bar) / (1 - alpha_bar), zero
            variance = (1 - previous_alpha_bar) / (1 - alpha_bar) * (1 - alpha)
            variance = 1 - alpha if config.variance_type == "fixed_large" else variance.clip(1e-20)
            draws = int((timesteps > 0).sum())
            sigma = xp.where(timesteps > 0, variance**0.5, zero)
        else:
            of_clean, of_noise = previous_alpha_bar**0.5, (1 - previous_alpha_bar) ** 0.5
            of_actions, of_prediction = of_noise * noise[0], of_noise * noise[1]
            draws, sigma = 0, zero
    coefficients = xp.stack([*clean, of_clean, of_actions, of_prediction], 1)
    if not xp.isfinite(coefficients).all():
        return None
    clip = config.clip_sample_range if config.clip_sample else math.inf
    return StepTable(timesteps, coefficients, sigma, draws, clip)
