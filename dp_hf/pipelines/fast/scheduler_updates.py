"""What `DDPMScheduler.step` and `DDIMScheduler.step` compute, as a table of coefficients for a whole run."""

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
    betas, alpha_bars, timesteps = (
        tensor.cpu().numpy() for tensor in (scheduler.betas, scheduler.alphas_cumprod, scheduler.timesteps)
    )
    table = step_table(config, betas, alpha_bars, timesteps, scheduler.num_inference_steps, is_ddpm)
    if table is None:
        return None
    timesteps, coefficients, sigma = map(torch.from_numpy, (table.timesteps, table.coefficients, table.sigma))
    return StepTable(timesteps, coefficients, sigma, table.draws, table.clip)
