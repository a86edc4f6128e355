"""What `DDPMScheduler.step` and `DDIMScheduler.step` compute, as a table of coefficients for a whole run."""

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, DDPMScheduler, SchedulerMixin


@dataclass
class SchedulerUpdates:
    """The steps of a run, each of them

        clean = clamp(a actions + b prediction, -clip, clip)
        actions = c clean + d actions + e prediction + sigma noise

    Args:
        timesteps: (steps,).
        coefficients: (steps, 5), the columns a, b, c, d, e.
        sigma: (steps,).
        draws: how many of the steps draw noise, the first ones.
        clip: bound of the clean chunk; infinite for none.
    """

    timesteps: torch.Tensor
    coefficients: torch.Tensor
    sigma: torch.Tensor
    draws: int
    clip: float


def scheduler_updates(scheduler: SchedulerMixin) -> SchedulerUpdates | None:
    """The updates of a scheduler whose timesteps are set; None for one that does anything else or more.

    The formulas are those of Ho et al. 2020, arXiv:2006.11239, eq. 7, and of Song et al. 2020, arXiv:2010.02502,
    eq. 12 with eta = 0. For linear betas, the reference's, they are evaluated in float64: a thousand steps then agree
    with the published algorithm to 1e-5, and to 1e-4 with diffusers, whose float32 `1 - alpha_bar` is off by up to
    1e-3 of itself at first. For other betas that would be more, so these are evaluated in float32 as diffusers does.
    """
    config, is_ddpm = scheduler.config, type(scheduler) is DDPMScheduler
    if not is_ddpm and type(scheduler) is not DDIMScheduler:
        return None
    if is_ddpm and scheduler.variance_type not in ("fixed_small", "fixed_small_log", "fixed_large"):
        return None
    if config.thresholding or config.prediction_type not in ("epsilon", "sample", "v_prediction"):
        return None
    timesteps = scheduler.timesteps.cpu()
    exact = (1 - scheduler.betas.double()).cumprod(0)
    alpha_bars = (exact if config.beta_schedule == "linear" else scheduler.alphas_cumprod).cpu()
    if is_ddpm:
        previous, last = torch.cat([timesteps[1:], timesteps.new_tensor([-1])]), alpha_bars.new_ones(())
    else:
        previous = timesteps - config.num_train_timesteps // scheduler.num_inference_steps
        last = alpha_bars.new_ones(()) if config.set_alpha_to_one else alpha_bars[0]
    alpha_bar = alpha_bars[timesteps]
    previous_alpha_bar = torch.where(previous >= 0, alpha_bars[previous.clamp(min=0)], last)
    signal, spread = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    zero, one = torch.zeros_like(signal), torch.ones_like(signal)

    # The clean chunk and the noise, each in terms of (actions, prediction).
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
        variance = 1 - alpha if scheduler.variance_type == "fixed_large" else variance.clamp(min=1e-20)
        draws = int((timesteps > 0).sum())
        sigma = torch.where(timesteps > 0, variance**0.5, 0.0)
    else:
        of_clean, of_noise = previous_alpha_bar**0.5, (1 - previous_alpha_bar) ** 0.5
        of_actions, of_prediction = of_noise * noise[0], of_noise * noise[1]
        draws, sigma = 0, zero
    coefficients = torch.stack([*clean, of_clean, of_actions, of_prediction], dim=1).float()
    if not coefficients.isfinite().all():  # betas rescaled to zero terminal SNR leave no signal to divide by
        return None
    clip = config.clip_sample_range if config.clip_sample else torch.inf
    return SchedulerUpdates(timesteps, coefficients, sigma.float(), draws, clip)
