"""How far sampled actions are from recorded ones, in the units of the robot."""

from typing import Any

import torch
from tqdm import tqdm

from dp_hf.arms.quantities import Quantities
from dp_hf.arms.undescribed import quantities_of
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.training.windows import Trajectories, WindowDataset, make_windows

BATCH_SIZE = 256
SEED = 0
# A gripper moves when it goes further than this share of its range while a chunk lasts, or for this long if that is
# longer: within a chunk of one action nothing moves.
GRIPPER_MOVES = 0.1
AT_LEAST_SECONDS = 1.0
_AT_ONCE = 10_000  # windows


@torch.no_grad()
def validate(pipeline: DiffusionPolicyPipeline, dataset: WindowDataset, progress: bool = True) -> dict[str, Any]:
    """Samples a chunk for every window, always from the same noise, and compares it with the recorded one.

    Leaves the policy in evaluation mode.

    Returns:
        mean absolute errors, each number's in its own unit (where they are averaged, a point of a gripper in 0..100
        weighs as much as a degree): `error` over the actions that are executed and all numbers, `by_joint` the same for
        each number of an action, by its name, and `by_chunk_step` for each of the chunk's actions. Actions past an
        episode's end do not count. Where an action has a gripper (`Quantities.grippers`), `by_phase` has the errors of
        the other numbers while the recorded gripper moves (it grasps or lets go, where the arm has to be exact) and
        while it is still. `units` has the unit of each number.
    """
    config = pipeline.policy.config
    quantities = quantities_of(config, "action")
    device = pipeline.normalizer.action_scale.device
    generator = torch.Generator(device).manual_seed(SEED)
    executed = slice(0, config.n_action_steps)
    pipeline.policy.eval()
    total = torch.zeros(config.horizon, config.action_dim, dtype=torch.float64)
    count = torch.zeros(config.horizon, 1, dtype=torch.float64)
    phases = Phases(quantities)
    moves = gripper_moves(dataset.trajectories, quantities, max(config.horizon, round(AT_LEAST_SECONDS * config.fps)))
    batches = torch.arange(len(dataset)).split(BATCH_SIZE)
    for indices in tqdm(batches, "Validating", leave=False, delay=2, disable=not progress):
        batch = {name: value.to(device) for name, value in dataset.__getitems__(indices.tolist()).items()}
        actions = sample_actions(pipeline, batch, generator)
        recorded = ~batch["is_pad"][..., None]
        errors = (actions - batch["action"]).abs() * recorded
        total += errors.sum(0).double().cpu()
        count += recorded.sum(0).cpu()
        phases.add(moves[dataset.windows.rows[indices]], errors[:, executed], recorded[:, executed])

    by_joint = total[executed].sum(0) / count[executed].sum()
    return {
        "error": by_joint.mean().item(),
        "by_joint": dict(zip(quantities.names, by_joint.tolist(), strict=True)),
        "units": list(quantities.units),
        "by_chunk_step": (total / count.clamp(min=1)).mean(dim=1).tolist(),
        "by_phase": phases.means(),
    }


def gripper_moves(trajectories: Trajectories, quantities: Quantities, num_actions: int) -> torch.Tensor:
    """(N,) bool: whether a gripper moves within the `num_actions` of the episode that begin at a row.

    A tenth of a gripper's range is a movement: of 100 where that is its unit, else of what the recordings show.
    """
    grippers = quantities.grippers
    values = trajectories.action[:, grippers]
    stated = torch.tensor([quantities.units[gripper] == "0..100" for gripper in grippers], dtype=torch.bool)
    spans = torch.where(stated, 100.0, values.amax(0) - values.amin(0))
    episodes = torch.unique(trajectories.episode_index).tolist()
    windows = make_windows(trajectories.episode_index, episodes, 1, num_actions)
    moves = []
    for start in range(0, len(windows), _AT_ONCE):
        ahead = values[windows[start : start + _AT_ONCE].action_rows]
        moves.append((ahead.amax(1) - ahead.amin(1) > GRIPPER_MOVES * spans).any(1))
    return torch.cat(moves)


class Phases:
    """Mean errors of the arm, apart for windows in which a gripper moves and those in which all are still."""

    def __init__(self, quantities: Quantities):
        self.arm = [index for index in range(len(quantities)) if index not in quantities.grippers]
        self.is_void = not (quantities.grippers and self.arm)
        self.sums = {"gripper moves": [0.0, 0], "gripper still": [0.0, 0]}

    def add(self, moves: torch.Tensor, errors: torch.Tensor, recorded: torch.Tensor) -> None:
        """Counts windows whose grippers move (B,), with errors (B, T, D) that are 0 where not recorded (B, T, 1)."""
        if self.is_void:
            return
        for sums, chosen in zip(self.sums.values(), (moves, ~moves), strict=True):
            sums[0] += errors[chosen][..., self.arm].sum().item()
            sums[1] += recorded[chosen].sum().item() * len(self.arm)

    def means(self) -> dict[str, float]:
        """In the arm's units; phases that did not occur are left out."""
        return {name: total / count for name, (total, count) in self.sums.items() if count}


def sample_actions(
    pipeline: DiffusionPolicyPipeline, batch: dict[str, torch.Tensor], generator: torch.Generator
) -> torch.Tensor:
    """Actions (B, horizon, action_dim) in the robot's units for a batch of `WindowDataset`, not augmented."""
    if "image_features" in batch:
        features = batch["image_features"][:, :, 0]
    else:
        features = pipeline.policy.encode_images(batch["images"])
    return pipeline.sample(features, batch["state"], generator=generator)
