"""Loading: windows of observations and actions a second, decoded from PNGs, from cached images and cached features.

python scripts/benchmarks/loading.py

A window holds the images of its observations and a chunk of actions; batches of 32 in random order, in one process.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import datasets
import torch
from measuring import interleaved, machine, read_bandwidth, report
from PIL import Image
from recordings import write_recordings
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional as transforms

from dp_hf import DiffusionPolicyModel
from dp_hf.cli.arguments import parse, run
from dp_hf.episodes.dataset import open_data
from dp_hf.training.config import TrainConfig
from dp_hf.training.observations import open_observations
from dp_hf.training.windows import Trajectories, WindowDataset, as_is, make_windows


@dataclass
class LoadingArguments:
    """Times the loading of batches of training windows."""

    episodes: int = 4
    """Recorded episodes."""
    frames: int = 64
    """Frames in each of them."""
    image_size: int = 224
    """Side of the resized images, in pixels."""
    n_obs_steps: int = 2
    """Images in a window."""
    horizon: int = 16
    """Actions in a window."""
    batch_size: int = 32
    """Windows in a batch."""
    repeats: int = 5
    """Timings of each row, of an epoch each; the median counts."""
    json: bool = False
    """Print JSON instead of tables."""


class ReferenceDataset(Dataset):
    """The reference: a sample opens its PNGs, resizes and standardises them."""

    def __init__(self, data_dir: Path, arguments: LoadingArguments):
        self.files = sorted(data_dir.glob("episode_*/*/*.png"))
        self.arguments = arguments

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = index - index % self.arguments.frames
        images = []
        for row in range(index + 1 - self.arguments.n_obs_steps, index + 1):
            image = Image.open(self.files[max(row, first)]).convert("RGB")
            tensor = transforms.to_tensor(image.resize((self.arguments.image_size,) * 2, Image.Resampling.BILINEAR))
            images.append(transforms.normalize(tensor, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return torch.stack(images), torch.zeros(self.arguments.horizon, 7)


def main() -> int:
    return run(benchmark, parse(LoadingArguments, None, "loading.py"))


def benchmark(arguments: LoadingArguments) -> None:
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        root = Path(folder)
        os.environ["DP_HF_CACHE"] = str(root / "cache")
        recordings = write_recordings(root / "recordings", arguments.episodes, arguments.frames)
        dataset, _ = open_data(recordings, frame_skip=1)
        reference = "PNGs decoded a sample at a time (the reference)"
        times = interleaved(
            {
                reference: epoch(ReferenceDataset(recordings, arguments), arguments),
                "PNGs of the dataset decoded, --cache none": our_epoch(dataset, arguments, "none", frozen=False),
                "cached images, encoder trained": our_epoch(dataset, arguments, "auto", frozen=False),
                "cached features, encoder frozen": our_epoch(dataset, arguments, "auto", frozen=True),
            },
            arguments.repeats,
        )
        rates = {name: len(dataset) / value for name, value in times.items()}
        image_bytes = 3 * arguments.image_size**2 * arguments.n_obs_steps
        rates["floor: reading the cached images"] = read_bandwidth(64_000_000) / image_bytes
        title = f"Windows of {arguments.n_obs_steps} images and {arguments.horizon} actions, one process"
    rows = [
        {"how": name, "windows a second": rate, "x the reference": rate / rates[reference]}
        for name, rate in rates.items()
    ]
    report({"machine": machine(), "tables": {title: rows}}, arguments.json)


def our_epoch(dataset: datasets.Dataset, arguments: LoadingArguments, cache: str, frozen: bool) -> Callable[[], None]:
    """A function that loads all windows of our own dataset."""
    trajectories = Trajectories.from_dataset(dataset)
    episodes = list(range(int(trajectories.episode_index.max()) + 1))
    windows = make_windows(trajectories.episode_index, episodes, arguments.n_obs_steps, arguments.horizon)
    size = (arguments.image_size, arguments.image_size)
    options = {"image_encoder": "resnet18.tv_in1k", "image_size": size, "freeze_image_encoder": frozen}
    policy = DiffusionPolicyModel(n_obs_steps=arguments.n_obs_steps, horizon=arguments.horizon, **options)
    observations = open_observations(dataset, policy, TrainConfig.from_options(cache=cache), torch.device("cpu"))
    return epoch(WindowDataset(trajectories, windows, observations), arguments, collate_fn=as_is)


def epoch(dataset: Dataset, arguments: LoadingArguments, **options) -> Callable[[], None]:
    loader = DataLoader(dataset, arguments.batch_size, shuffle=True, **options)

    def load() -> None:
        for _ in loader:
            pass

    return load


if __name__ == "__main__":
    sys.exit(main())
