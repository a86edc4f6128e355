"""What `DDPMScheduler.step` and `DDIMScheduler.step` compute, as a table of coefficients for a whole run."""

from dataclasses import replace

import torch
from diffusers import DDIMScheduler, DDPMScheduler, SchedulerMixin

from dp_hf.pipelines.schedule import StepTable, step_table


def scheduler_updates(scheduler: SchedulerMixin) -> StepTable[torch.Tensor] | None:
    """The updates of a scheduler whose timesteps are set; None for one that does anything else or more."""
    config, is_ddpm = scheduler.config, type(scheduler) is DDPMScheduler
    if not is_ddpm and type(scheduler) is not DDIMScheduler:
        return None
    if is_ddpm and scheduler.variance_type not in ("fixed_small", "fixed_small_log", "fixed_large"):
        return None
    if config.thresholding or config.prediction_type not in ("epsilon", "sample", "v_prediction"):
        return None
    exact = (1 - scheduler.betas.double()).cumprod(0)
    alpha_bars = (exact if config.beta_schedule == "linear" else scheduler.alphas_cumprod).cpu()
    steps = scheduler.num_inference_steps
    table = step_table(torch, config, alpha_bars, scheduler.timesteps.cpu(), steps, is_ddpm)
    return table and replace(table, coefficients=table.coefficients.float(), sigma=table.sigma.float())
