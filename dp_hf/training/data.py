"""What a run learns from: demonstrations, and corrections beside them."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from datasets import Dataset

from dp_hf.episodes.cells import require_cameras
from dp_hf.episodes.conversion import ActionSource
from dp_hf.episodes.dataset import open_data
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.models.digest import digest_of
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.training.config import TrainConfig
from dp_hf.training.mixing import JoinedObservations, joined, require_alike
from dp_hf.training.observations import open_observations
from dp_hf.training.row_cache import digest_images
from dp_hf.training.streaming import Share, stream_dataset
from dp_hf.training.windows import Observations, Trajectories, Windows, make_windows, split_episodes


@dataclass(frozen=True)
class TrainingData:
    """The rows of a run, and which of them are for what.

    Attributes:
        dataset, meta: the demonstrations.
        corrections: the dataset of corrections, or None.
        trajectories: of both, those of the corrections last.
        learned, held_out: episodes of the demonstrations.
        corrected: episodes of the corrections, all of which are learned from.
    """

    dataset: Dataset
    meta: DatasetMeta
    corrections: Dataset | None
    trajectories: Trajectories
    learned: list[int]
    held_out: list[int]
    corrected: list[int]

    @property
    def learned_rows(self) -> torch.Tensor:
        """(rows,) bool: a person acted in an episode that is learned from."""
        episodes = torch.tensor(self.learned + self.corrected)
        return torch.isin(self.trajectories.episode_index, episodes) & self.trajectories.by_person

    def windows(self, config: TrainConfig) -> tuple[Windows, int, Windows]:
        """Those that are learned from, how many of them, the last, are corrections, and those of the validation."""
        of_episodes = partial(
            make_windows,
            self.trajectories.episode_index,
            n_obs_steps=config.policy.n_obs_steps,
            horizon=config.policy.horizon,
            by_person=self.trajectories.by_person,
        )
        training, validation = of_episodes(self.learned + self.corrected), of_episodes(self.held_out or self.learned)
        num_corrections = len(of_episodes(self.corrected))
        return training, num_corrections, validation.evenly_spaced(config.validation.validation_windows)

    def observations(
        self, policy: DiffusionPolicyModel, config: TrainConfig, device: torch.device
    ) -> tuple[Observations, str]:
        """Where the images of all rows come from, and their digest."""
        cameras = policy.config.camera_names
        images = digest_images(self.dataset, cameras)
        observations = open_observations(self.dataset, policy, config, device, images)
        if self.corrections is None:
            return observations, images
        of_corrections = digest_images(self.corrections, cameras)
        second = open_observations(self.corrections, policy, config, device, of_corrections)
        return JoinedObservations(observations, second, len(self.dataset)), digest_of(images, of_corrections)


def open_training_data(config: TrainConfig, accelerator: Accelerator) -> TrainingData:
    """Opens, converts or streams what the options name; the main process first, so that the others find it cached."""
    data_dir: str | Path = config.data_dir
    if config.data.streaming:
        share = Share(accelerator.process_index, accelerator.num_processes, accelerator.wait_for_everyone)
        height, width = config.policy.image_size
        data_dir = stream_dataset(config.data_dir, (height, width), config.loading.cache_dir, share)
    with accelerator.main_process_first():
        dataset, meta = _open(data_dir, config, accelerator, config.data.action_source, config.data.action_offset)
        corrections = _open_corrections(config, meta, accelerator)
    trajectories = Trajectories.from_dataset(dataset, config.data_dir, config.data.learn_from)
    of_person = trajectories.episode_index[trajectories.by_person]
    learned, held_out = split_episodes(of_person, config.validation.validation_fraction, config.seed, meta.episodes)
    corrected: list[int] = []
    if corrections is not None:
        second = Trajectories.from_dataset(corrections, str(config.data.corrections), config.data.learn_from)
        num_own = len(meta.episodes)
        trajectories = joined(trajectories, second, num_own)
        corrected = [num_own + index for index in second.episode_index.unique().tolist()]
    return TrainingData(dataset, meta, corrections, trajectories, learned, held_out, corrected)


def _open(
    data_dir: str | Path,
    config: TrainConfig,
    accelerator: Accelerator,
    action_source: ActionSource,
    action_offset: int | None,
) -> tuple[Dataset, DatasetMeta]:
    return open_data(
        data_dir,
        frame_skip=config.data.frame_skip,
        action_offset=action_offset,
        action_source=action_source,
        cache_dir=config.loading.cache_dir,
        report=accelerator.print,
    )


def _open_corrections(config: TrainConfig, meta: DatasetMeta, accelerator: Accelerator) -> Dataset | None:
    """Those of a run that learns from some, whose rows mean what those of the first dataset do, described by `meta`.

    Where its actions are states, as of an arm that was guided by hand, so are those of the corrections, though a run
    is recorded with commands.
    """
    place = config.data.corrections
    if place is None:
        return None
    if meta.action_source == "state":
        dataset, of_corrections = _open(place, config, accelerator, "state", meta.action_offset)
    else:
        dataset, of_corrections = _open(place, config, accelerator, "recorded", None)
    require_alike(meta, of_corrections, (config.data_dir, place))
    require_cameras(config.data.camera_names or meta.camera_names, of_corrections, place)
    return dataset
