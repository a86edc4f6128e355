"""A training loop to change: python scripts/examples/train_loop.py DATASET OUTPUT_DIR [EPOCHS]

What `dp-hf train` does without checkpoints, several processes and caches. The parts are the package's; the loop, the
policy and what is done after an epoch are yours.
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer, TrainConfig, open_data
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.training.diffusion import diffusion_loss, make_noise_scheduler, make_sampler
from dp_hf.training.observations import LiveImages
from dp_hf.training.validation import validate
from dp_hf.training.windows import Trajectories, WindowDataset, as_is, make_windows, split_episodes

# The options of `dp-hf train`, of which the parts below read theirs.
CONFIG = TrainConfig.from_options(
    frame_skip=1,
    image_encoder="small_cnn",
    freeze_image_encoder=False,
    image_size=(60, 106),
    pooling="spatial_softmax",
    num_keypoints=32,
    use_proprioception=True,
    horizon=16,
    n_action_steps=8,
    dropout=0.0,
    diffusion_timesteps=100,
    beta_schedule="squaredcos_cap_v2",
    prediction_type="sample",
    noise_scheduler="ddim",
    num_inference_steps=10,
    batch_size=32,
    noise_samples_per_image=4,
    learning_rate=1e-3,
    weight_decay=1e-4,
)


def make_policy(config: TrainConfig, meta: DatasetMeta) -> DiffusionPolicyModel:
    """A policy for the dataset's cameras and numbers, whose names and units go with it; put your own class here."""
    return DiffusionPolicyModel(
        **vars(config.policy),
        camera_names=tuple(meta.camera_names),
        fps=meta.fps,
        state_dim=len(meta.state),
        state_names=meta.state.names,
        state_units=meta.state.units,
        action_dim=len(meta.action),
        action_names=meta.action.names,
        action_units=meta.action.units,
    )


def train(
    data_dir: str, output_dir: Path, num_epochs: int = 60, config: TrainConfig = CONFIG
) -> DiffusionPolicyPipeline:
    """Trains on a dataset or a folder of episodes, and saves the pipeline in `output_dir`."""
    torch.manual_seed(config.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dataset, meta = open_data(data_dir, frame_skip=config.data.frame_skip)
    trajectories = Trajectories.from_dataset(dataset)
    fraction = config.validation.validation_fraction
    learned, held_out = split_episodes(trajectories.episode_index, fraction, config.seed, meta.episodes)

    policy = make_policy(config, meta)
    rows = torch.isin(trajectories.episode_index, torch.tensor(learned))
    normalizer = Normalizer.from_data(trajectories.state[rows], trajectories.action[rows], config.data.normalization)
    # What is trained is the pipeline that is saved: its policy learns in place.
    pipeline = DiffusionPolicyPipeline(policy, make_sampler(config), normalizer, config.diffusion.num_inference_steps)
    pipeline.to(device)

    images = LiveImages(dataset, tuple(meta.camera_names), policy.config.image_size)
    training, validation = (
        WindowDataset(
            trajectories,
            make_windows(
                trajectories.episode_index,
                episodes,
                policy.config.n_obs_steps,
                policy.config.horizon,
                trajectories.by_person,
            ),
            images,
        )
        for episodes in (learned, held_out or learned)
    )
    loader = DataLoader(training, config.optimization.batch_size, shuffle=True, collate_fn=as_is)
    noise_scheduler = make_noise_scheduler(config)
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=config.optimization.learning_rate, weight_decay=config.optimization.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs * len(loader))

    for epoch in range(num_epochs):
        policy.train()
        losses = []
        for batch in loader:
            batch = {name: values.to(device) for name, values in batch.items()}
            loss = diffusion_loss(policy, policy, noise_scheduler, normalizer, batch, config)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.4f}", flush=True)

    policy.eval()
    errors = validate(pipeline, validation)["by_joint"]
    print("mean error of sampled actions:", {name: round(error, 3) for name, error in errors.items()})
    pipeline.save_pretrained(output_dir)
    return pipeline


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 60)
