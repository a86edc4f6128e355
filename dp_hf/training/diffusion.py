"""The training objective: add noise to the recorded actions and learn to take it away (Ho et al. 2020)."""

from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, SchedulerMixin

from dp_hf.models.normalizer import Normalizer
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.training.augmentation import augment_images
from dp_hf.training.config import TrainConfig

SAMPLERS = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler, "dpm_solver": DPMSolverMultistepScheduler}


def make_noise_scheduler(config: TrainConfig) -> DDPMScheduler:
    """The noise process of training; `fixed_small` is the posterior variance of the paper."""
    return DDPMScheduler(
        num_train_timesteps=config.diffusion.diffusion_timesteps,
        beta_start=config.diffusion.beta_start,
        beta_end=config.diffusion.beta_end,
        beta_schedule=config.diffusion.beta_schedule,
        prediction_type=config.diffusion.prediction_type,
        variance_type="fixed_small",
        timestep_spacing="trailing",
        # Only min-max normalised actions are known to lie in [-1, 1].
        clip_sample=config.data.normalization == "min_max",
    )


def make_sampler(config: TrainConfig) -> SchedulerMixin:
    """The scheduler that the pipeline samples with."""
    return SAMPLERS[config.diffusion.noise_scheduler].from_config(make_noise_scheduler(config).config)


def diffusion_loss(
    model: torch.nn.Module,
    policy: DiffusionPolicyModel,
    noise_scheduler: DDPMScheduler,
    normalizer: Normalizer,
    batch: dict[str, torch.Tensor],
    config: TrainConfig,
) -> torch.Tensor:
    """Mean squared error of the prediction for a batch of `WindowDataset`, padding and committed actions left out.

    Args:
        model: the policy as accelerate wrapped it, for the forward pass that is differentiated.
        policy: the same, unwrapped.
    """
    seen = observe(policy, batch, config)
    if policy.config.use_proprioception:
        seen["state"] = observe_state(normalizer, batch["state"], config)

    samples = config.optimization.noise_samples_per_image
    actions = normalizer.normalize(batch["action"], "action").repeat_interleave(samples, dim=0)
    noise = torch.randn_like(actions)
    timesteps = torch.randint(0, config.diffusion.diffusion_timesteps, (len(actions),), device=actions.device)
    noisy_actions = noise_scheduler.add_noise(actions, noise, timesteps)
    committed = draw_prefixes(policy.config, noisy_actions)
    if committed is not None:
        noisy_actions = torch.where(committed[..., None], actions, noisy_actions)
        seen["committed"] = committed
    prediction = model(noisy_actions, timesteps, **seen, return_dict=False)[0].float()
    if config.diffusion.prediction_type == "epsilon":
        target = noise
    elif config.diffusion.prediction_type == "sample":
        target = actions
    else:
        target = noise_scheduler.get_velocity(actions, noise, timesteps)

    error = (prediction - target).square().mean(dim=-1)
    learned = torch.ones_like(error, dtype=torch.bool) if committed is None else ~committed
    if not (config.optimization.loss_on_padding or config.policy.horizon == 1):
        learned = learned & ~batch["is_pad"].repeat_interleave(samples, dim=0)
    elif committed is None:
        return error.mean()
    return (error * learned).sum() / learned.sum().clamp(min=1)


def draw_prefixes(config: Any, actions: torch.Tensor) -> torch.Tensor | None:
    """Which actions of the chunks (B, horizon, action_dim) are shown as committed, (B, horizon) bool.

    The first d of each, d uniform from 0 to the policy's `max_prefix`; as training-time action conditioning has it
    (arXiv:2512.05964). None where the policy learns without.
    """
    if config.max_prefix == 0:
        return None
    lengths = torch.randint(0, config.max_prefix + 1, (len(actions), 1), device=actions.device)
    return torch.arange(actions.shape[1], device=actions.device) < lengths


def observe_state(normalizer: Normalizer, state: torch.Tensor, config: TrainConfig) -> torch.Tensor:
    """The normalised state (B, n_obs_steps, state_dim) that the model is shown, with noise on it or left out."""
    if config.augmentation.state_noise > 0:
        state = state + config.augmentation.state_noise * torch.randn_like(state)
    shown = normalizer.normalize(state, "state")
    if config.augmentation.state_dropout > 0:
        left_out = torch.rand(len(shown), 1, 1, device=shown.device) < config.augmentation.state_dropout
        shown = shown.masked_fill(left_out, 0)
    return shown


def observe(
    policy: DiffusionPolicyModel, batch: dict[str, torch.Tensor], config: TrainConfig
) -> dict[str, torch.Tensor]:
    """What the model is shown of a training batch: augmented images, or their features where the encoder is frozen."""
    if "image_features" in batch:
        features = batch["image_features"]
        variants = features.shape[2]
        if variants == 1:
            return {"image_features": features[:, :, 0]}
        # Variant 0 is the image as it is; one variant changes all frames of an episode alike.
        chosen = torch.randint(1, variants, (len(features), 1), device=features.device).expand(features.shape[:2])
        return {"image_features": features.take_along_dim(chosen[..., None, None], dim=2).squeeze(2)}
    images = augment_images(batch["images"], config.augmentation)
    if policy.config.freeze_image_encoder:
        # In float32 whatever the precision of training, as cached features are.
        return {"image_features": policy.encode_images(images)}
    return {"images": images}
