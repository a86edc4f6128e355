"""How far sampled actions are from recorded ones, in the units of the robot."""

from typing import Any

import torch
from tqdm import tqdm

from dp_hf.pipelines.fast_sampling import sample
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.training.windows import WindowDataset

BATCH_SIZE = 256
SEED = 0


@torch.no_grad()
def validate(
    pipeline: DiffusionPolicyPipeline, dataset: WindowDataset, action_names: list[str], progress: bool = True
) -> dict[str, Any]:
    """Samples a chunk for every window, always from the same noise, and compares it with the recorded one.

    Leaves the policy in evaluation mode.

    Returns:
        mean absolute errors in degrees and gripper points (the gripper's 100 points weigh as much as 100 degrees):
        `error` over the actions that are executed and all dimensions, `by_joint` the same for each of `action_names`,
        and `by_chunk_step` for each of the chunk's actions. Actions past an episode's end do not count.
    """
    config = pipeline.policy.config
    device = pipeline.normalizer.action_scale.device
    generator = torch.Generator(device).manual_seed(SEED)
    pipeline.policy.eval()
    total = torch.zeros(config.horizon, config.action_dim, dtype=torch.float64)
    count = torch.zeros(config.horizon, 1, dtype=torch.float64)
    batches = torch.arange(len(dataset)).split(BATCH_SIZE)
    for indices in tqdm(batches, "Validating", leave=False, delay=2, disable=not progress):
        batch = {name: value.to(device) for name, value in dataset.__getitems__(indices.tolist()).items()}
        actions = sample_actions(pipeline, batch, generator)
        recorded = ~batch["is_pad"][..., None]
        total += ((actions - batch["action"]).abs() * recorded).sum(0).double().cpu()
        count += recorded.sum(0).cpu()

    executed = slice(0, config.n_action_steps)
    by_joint = total[executed].sum(0) / count[executed].sum()
    return {
        "error": by_joint.mean().item(),
        "by_joint": dict(zip(action_names, by_joint.tolist(), strict=True)),
        "by_chunk_step": (total / count.clamp(min=1)).mean(dim=1).tolist(),
    }


def sample_actions(
    pipeline: DiffusionPolicyPipeline, batch: dict[str, torch.Tensor], generator: torch.Generator
) -> torch.Tensor:
    """Actions (B, horizon, 7) in degrees and gripper points for a batch of `WindowDataset`, not augmented."""
    policy, normalizer, scheduler = pipeline.policy, pipeline.normalizer, pipeline.scheduler
    if "image_features" in batch:
        features = batch["image_features"][:, :, 0]
    else:
        features = policy.encode_images(batch["images"])
    observation = policy.observation_features(features, normalizer.normalize(batch["state"], "state"))
    num_inference_steps = pipeline.config.num_inference_steps or scheduler.config.num_train_timesteps
    actions = sample(policy, observation, scheduler, num_inference_steps, generator)
    return normalizer.unnormalize(actions, "action")
