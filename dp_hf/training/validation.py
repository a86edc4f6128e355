"""How far sampled actions are from recorded ones, in the units of the robot."""

from typing import Any

import torch
from tqdm import tqdm

from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.training.windows import WindowDataset

BATCH_SIZE = 256
SEED = 0
GRIPPER = "gripper"
GRIPPER_MOVES = 10.0  # points between a chunk's widest and narrowest gripper


@torch.no_grad()
def validate(
    pipeline: DiffusionPolicyPipeline, dataset: WindowDataset, action_names: list[str], progress: bool = True
) -> dict[str, Any]:
    """Samples a chunk for every window, always from the same noise, and compares it with the recorded one.

    Leaves the policy in evaluation mode.

    Returns:
        mean absolute errors in degrees and gripper points (the gripper's 100 points weigh as much as 100 degrees):
        `error` over the actions that are executed and all dimensions, `by_joint` the same for each of `action_names`,
        and `by_chunk_step` for each of the chunk's actions. Actions past an episode's end do not count. Where an action
        is named "gripper", `by_phase` has the errors in degrees of the other actions, in chunks during which the
        recorded gripper moves (it grasps or lets go, where the arm has to be exact) and in the others.
    """
    config = pipeline.policy.config
    device = pipeline.normalizer.action_scale.device
    generator = torch.Generator(device).manual_seed(SEED)
    executed = slice(0, config.n_action_steps)
    pipeline.policy.eval()
    total = torch.zeros(config.horizon, config.action_dim, dtype=torch.float64)
    count = torch.zeros(config.horizon, 1, dtype=torch.float64)
    phases = Phases(action_names)
    batches = torch.arange(len(dataset)).split(BATCH_SIZE)
    for indices in tqdm(batches, "Validating", leave=False, delay=2, disable=not progress):
        batch = {name: value.to(device) for name, value in dataset.__getitems__(indices.tolist()).items()}
        actions = sample_actions(pipeline, batch, generator)
        recorded = ~batch["is_pad"][..., None]
        errors = (actions - batch["action"]).abs() * recorded
        total += errors.sum(0).double().cpu()
        count += recorded.sum(0).cpu()
        phases.add(batch["action"], errors[:, executed], recorded[:, executed])

    by_joint = total[executed].sum(0) / count[executed].sum()
    return {
        "error": by_joint.mean().item(),
        "by_joint": dict(zip(action_names, by_joint.tolist(), strict=True)),
        "by_chunk_step": (total / count.clamp(min=1)).mean(dim=1).tolist(),
        "by_phase": phases.means(),
    }


class Phases:
    """Mean errors of the arm, apart for chunks in which the gripper moves and those in which it is still."""

    def __init__(self, action_names: list[str]):
        self.gripper = action_names.index(GRIPPER) if GRIPPER in action_names else None
        self.arm = [i for i in range(len(action_names)) if i != self.gripper]
        self.sums = {"gripper moves": [0.0, 0], "gripper still": [0.0, 0]}

    def add(self, chunks: torch.Tensor, errors: torch.Tensor, recorded: torch.Tensor) -> None:
        """Counts recorded chunks (B, horizon, D), with errors (B, T, D) that are 0 where not recorded (B, T, 1)."""
        if self.gripper is None:
            return
        gripper = chunks[..., self.gripper]
        moves = gripper.amax(1) - gripper.amin(1) > GRIPPER_MOVES
        for sums, chosen in zip(self.sums.values(), (moves, ~moves), strict=True):
            sums[0] += errors[chosen][..., self.arm].sum().item()
            sums[1] += recorded[chosen].sum().item() * len(self.arm)

    def means(self) -> dict[str, float]:
        """Degrees; phases that did not occur are left out."""
        return {name: total / count for name, (total, count) in self.sums.items() if count}


def sample_actions(
    pipeline: DiffusionPolicyPipeline, batch: dict[str, torch.Tensor], generator: torch.Generator
) -> torch.Tensor:
    """Actions (B, horizon, 7) in degrees and gripper points for a batch of `WindowDataset`, not augmented."""
    if "image_features" in batch:
        features = batch["image_features"][:, :, 0]
    else:
        features = pipeline.policy.encode_images(batch["images"])
    return pipeline.sample(features, batch["state"], generator=generator)
