"""Training: frames a second of the training loop, with the frozen encoder in every epoch and with cached features.

python scripts/benchmarks/training.py

The policy is the reference's: a frozen ResNet34 (random weights), an MLP, one action, 1000 noise levels, AdamW.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from measuring import interleaved, machine, peak_flops, read_bandwidth, report
from recordings import write_recordings
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dp_hf.cli.arguments import parse, run
from dp_hf.models.mlp_denoiser import MLPDenoiser
from dp_hf.training.checkpoints import Progress
from dp_hf.training.config import TrainConfig
from dp_hf.training.interruption import Interruption
from dp_hf.training.records import Records
from dp_hf.training.setup import cpu_threads, make_accelerator, set_up
from dp_hf.training.trainer import train_epoch

GOAL = 1000 * 300 * 60  # frames in 1000 epochs of 300 episodes of 60 frames


@dataclass
class TrainingArguments:
    """Times epochs of the training loop; each row is a run of its own, and they take turns."""

    episodes: int = 8
    """Recorded episodes of the runs with cached features."""
    frames: int = 60
    """Frames in each of them."""
    uncached_frames: int = 64
    """Frames of the run that encodes them in every epoch."""
    epochs: int = 5
    """Epochs in a row for each timing of the cached runs."""
    repeats: int = 5
    """Timings of each row; the median counts."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(TrainingArguments, None, "training.py"))


def benchmark(arguments: TrainingArguments) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["DP_HF_CACHE"] = str(root / "cache")
        many = write_recordings(root / "many", arguments.episodes, arguments.frames)
        few = write_recordings(root / "few", 2, arguments.uncached_frames // 2)
        reference = "encoder in every epoch (the reference), batch 32"
        runs = {
            reference: epochs(root, few, 1, cache="none"),
            "cached features, batch 32": epochs(root, many, arguments.epochs),
            "cached features, batch 32, 4 noise samples a frame": epochs(
                root, many, arguments.epochs, noise_samples_per_image=4
            ),
            "cached features, batch 256": epochs(root, many, arguments.epochs, batch_size=256),
            "plain diffusers loop, features in memory, batch 32": plain_epochs(
                arguments.episodes * arguments.frames, arguments.epochs
            ),
        }
        times = interleaved({name: function for name, (function, _) in runs.items()}, arguments.repeats)
    rates = {name: runs[name][1] / value for name, value in times.items()}
    rates |= floors()
    tables = {
        "Training on frames of a frozen ResNet34": [
            {
                "how": name,
                "frames a second": rate,
                "x the reference": rate / rates[reference],
                "minutes for 1000 epochs of 300 x 60 frames": GOAL / rate / 60,
            }
            for name, rate in rates.items()
        ]
    }
    report({"machine": machine(), "tables": tables}, arguments.json)


def epochs(root: Path, data_dir: Path, count: int, **options) -> tuple[Callable[[], None], int]:
    """A function that trains `count` epochs of a run, and the frames it sees in them."""
    config = TrainConfig.from_options(
        data_dir=str(data_dir),
        output_dir=root / "output",
        frame_skip=1,
        pretrained_backbone="none",
        validation_fraction=0.0,
        num_epochs=1_000_000,
        **options,
    )
    config.output_dir.mkdir(exist_ok=True)
    accelerator = make_accelerator(config)
    with redirect_stdout(sys.stderr):
        parts = set_up(config, accelerator)
    progress = Progress(parts.num_windows, accelerator.num_processes)
    records = Records(accelerator, config.output_dir, progress, parts.num_steps, config.saving.log_interval)
    records.bar.leave = False
    records.bar.close()
    interruption = Interruption(accelerator)

    def train() -> None:
        with cpu_threads(config, parts.validation_data):
            for _ in range(count):
                train_epoch(parts, progress, records, interruption)
                progress.epoch += 1
                progress.batch = 0

    return train, count * parts.num_windows


def plain_epochs(frames: int, count: int) -> tuple[Callable[[], None], int]:
    """The loop of a tutorial: a data loader of samples, `add_noise`, a mean squared error, AdamW."""
    denoiser, scheduler = MLPDenoiser(7, 1, 512), DDPMScheduler(1000)
    optimizer = torch.optim.AdamW(denoiser.parameters(), 1e-4, weight_decay=1e-5)
    loader = DataLoader(TensorDataset(torch.randn(frames, 512), torch.randn(frames, 1, 7)), 32, shuffle=True)

    def train() -> None:
        for _ in range(count):
            for features, actions in loader:
                noise, timesteps = torch.randn_like(actions), torch.randint(0, 1000, (len(actions),))
                noisy_actions = scheduler.add_noise(actions, noise, timesteps)
                loss = F.mse_loss(denoiser(noisy_actions, timesteps, features), noise)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train, frames * count


def floors() -> dict[str, float]:
    """Frames a second that the denoiser's products, forward and twice backward, and AdamW's memory traffic allow."""
    weights = sum(parameter.numel() for parameter in MLPDenoiser(7, 1, 512).parameters())
    # AdamW reads the weight, its gradient and two moments, and writes all but the gradient.
    return {
        "floor: multiplications": peak_flops() / (6 * weights),
        "floor: AdamW's reads and writes, batch 32": 32 * read_bandwidth(4 * weights) / (7 * 4 * weights),
    }


if __name__ == "__main__":
    sys.exit(main())
