"""What a run is made of, built from its configuration."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration, InitProcessGroupKwargs
from accelerate.utils import set_seed
from datasets import Dataset
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch.utils.data import DataLoader

from dp_hf.episodes.cells import camera_cells, require_cameras, row_pictures
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.errors import UserError
from dp_hf.models.normalizer import Normalizer
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.policy_config import PolicyConfig
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.training.config import TrainConfig
from dp_hf.training.data import open_training_data
from dp_hf.training.diffusion import make_noise_scheduler, make_sampler
from dp_hf.training.initialization import initialize
from dp_hf.training.mixing import MixedSampler
from dp_hf.training.options import DataOptions, OptimizationOptions
from dp_hf.training.origin import Origin, origin_of
from dp_hf.training.processes import require_all
from dp_hf.training.windows import WindowDataset, as_is


@dataclass
class Run:
    """The parts of a training run.

    Attributes:
        pipeline: what is trained; its policy is `model` without accelerate's wrapping.
        parameters: those that learn.
        ema: their moving average, or None.
        num_windows, num_steps: training windows, those of corrections among them, and updates of the whole run.
        num_corrections: windows of --corrections.
        origin: what its checkpoints belong to.
        held_out: episodes that are not trained on; validation uses the training episodes where there are none.
    """

    config: TrainConfig
    accelerator: Accelerator
    meta: DatasetMeta
    origin: Origin
    learned: list[int]
    held_out: list[int]
    pipeline: DiffusionPolicyPipeline
    model: torch.nn.Module
    noise_scheduler: DDPMScheduler
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    lr_scheduler: torch.optim.lr_scheduler.LRScheduler
    ema: EMAModel | None
    loader: DataLoader
    validation_data: WindowDataset
    num_windows: int
    num_corrections: int
    num_steps: int

    @property
    def num_rows_of_others(self) -> int:
        """Frames of all data in which no person acted."""
        return int((~self.validation_data.trajectories.by_person).sum())

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The policy with the averaged weights in place, where there are any; batch-norm statistics stay its own."""
        if self.ema is not None:
            self.ema.store(self.parameters)
            self.ema.copy_to(self.parameters)
        try:
            yield
        finally:
            if self.ema is not None:
                self.ema.restore(self.parameters)

    def obey_optimizer_options(self) -> None:
        """Gives the optimizer, restored from a checkpoint, the learning rate and weight decay of the options."""
        options, schedule = self.config.optimization, self.lr_scheduler.scheduler
        for group in self.optimizer.param_groups:
            group["weight_decay"] = options.weight_decay
        if all(rate == options.learning_rate for rate in schedule.base_lrs):
            return
        schedule.base_lrs = [options.learning_rate] * len(schedule.base_lrs)
        schedule._last_lr = [options.learning_rate * factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
        for group, rate in zip(self.optimizer.param_groups, schedule._last_lr, strict=True):
            group["initial_lr"], group["lr"] = options.learning_rate, rate


def set_up(config: TrainConfig, accelerator: Accelerator) -> Run:
    """Opens the data, builds the networks and what trains them."""
    set_seed(config.seed)
    data = open_training_data(config, accelerator)
    policy = make_policy(config, data.meta, data.dataset)
    if config.optimization.init_from is None:
        rows = data.learned_rows
        states, actions = data.trajectories.state[rows], data.trajectories.action[rows]
        normalizer = Normalizer.from_data(states, actions, config.data.normalization)
    else:
        normalizer = initialize(policy, config, data.meta, accelerator.print)
    pipeline = DiffusionPolicyPipeline(policy, make_sampler(config), normalizer, config.diffusion.num_inference_steps)
    pipeline.to(accelerator.device)

    observations, images = data.observations(policy, config, accelerator.device)
    origin = origin_of(config, accelerator, data.trajectories, data.meta, images, policy)
    training, num_corrections, validation = data.windows(config)
    sampler = None
    if data.corrections is not None:
        sampler = MixedSampler(
            len(training) - num_corrections,
            num_corrections,
            config.optimization.batch_size,
            config.data.corrections_share,
            config.seed,
        )
    training_data = WindowDataset(data.trajectories, training, observations)
    require_shared_memory(training_data, config, accelerator.num_processes)
    loader = DataLoader(
        training_data,
        batch_size=config.optimization.batch_size,
        shuffle=sampler is None,
        sampler=sampler,
        collate_fn=as_is,
        num_workers=config.loading.num_workers,
        persistent_workers=config.loading.num_workers > 0,
        pin_memory=accelerator.device.type == "cuda",
        # One of its own, so that starting an epoch draws nothing from the generator of the noise.
        generator=torch.Generator(),
    )
    options = config.optimization
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True)
    model, optimizer, loader = accelerator.prepare(policy, optimizer, loader)
    num_steps = -(-len(loader) // options.gradient_accumulation_steps) * options.num_epochs
    lr_scheduler = get_scheduler(
        options.lr_scheduler, optimizer, num_warmup_steps=warmup_steps(options, num_steps), num_training_steps=num_steps
    )
    return Run(
        config=config,
        accelerator=accelerator,
        meta=data.meta,
        origin=origin,
        learned=data.learned,
        held_out=data.held_out,
        pipeline=pipeline,
        model=model,
        noise_scheduler=make_noise_scheduler(config),
        parameters=parameters,
        optimizer=optimizer,
        lr_scheduler=accelerator.prepare(lr_scheduler),
        ema=EMAModel(parameters, decay=options.ema_decay, foreach=True) if options.ema_decay > 0 else None,
        loader=loader,
        validation_data=WindowDataset(data.trajectories, validation, observations),
        num_windows=len(training),
        num_corrections=num_corrections,
        num_steps=num_steps,
    )


def warmup_steps(options: OptimizationOptions, num_steps: int) -> int:
    """Updates in which the learning rate rises: of a short run at most a tenth, which else would end in its warm-up."""
    return min(options.lr_warmup_steps, num_steps // 10)


def require_shared_memory(data: WindowDataset, config: TrainConfig, num_processes: int) -> None:
    """Raises `UserError` where the batches of the data loader's workers do not fit: they would wait for ever."""
    num_workers, folder = config.loading.num_workers, Path("/dev/shm")
    if num_workers == 0 or not folder.is_dir():
        return
    window = sum(tensor.nbytes for tensor in data.__getitems__([0]).values())
    batch = window * min(config.optimization.batch_size, len(data))
    # Each worker prepares two of them, while one is being learned from.
    needed, free = batch * (2 * num_workers + 1) * num_processes, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"--num_workers {num_workers}: batches on their way take {needed / 1e6:.0f} MB of shared memory, {folder} "
            f"has {free / 1e6:.0f} MB free: give it more (docker run --shm-size), or take fewer workers or "
            "a smaller --batch_size"
        )


@contextmanager
def cpu_threads(config: TrainConfig, data: WindowDataset) -> Iterator[None]:
    """Within the context torch uses `num_threads`; see its documentation."""
    before = torch.get_num_threads()
    is_small = data.observations.name == "image_features" and config.policy.denoiser != "unet1d"
    torch.set_num_threads(config.hardware.num_threads or (1 if is_small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The processes of the run.

    Raises:
        UserError: another number of processes runs than was asked for, the precision needs a GPU, or the tracker is
            not installed.
    """
    hardware, tracker = config.hardware, config.saving.tracker
    if tracker != "none" and not find_spec(tracker):
        raise UserError(f"--tracker {tracker}: install it with `pip install {tracker}`")
    precision = hardware.mixed_precision
    if hardware.use_amp:
        precision = "fp16" if torch.cuda.is_available() else "bf16"
    try:
        accelerator = Accelerator(
            # Else processes that a launcher started for "several GPUs" do not find one another where there is none.
            cpu=not torch.accelerator.is_available(),
            mixed_precision=precision,
            gradient_accumulation_steps=config.optimization.gradient_accumulation_steps,
            log_with=None if tracker == "none" else tracker,
            project_dir=str(config.output_dir),
            # The scheduler counts updates, however many processes there are.
            step_scheduler_with_optimizer=False,
            dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
            # The others wait while the main process converts, validates or tries the policy in closed loop.
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=12))],
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    require_all(accelerator, hardware.num_processes)
    return accelerator


def make_policy(config: TrainConfig, meta: DatasetMeta, dataset: Dataset) -> DiffusionPolicyModel:
    """The network, its encoder with the weights that `pretrained_backbone` names."""
    cameras = config.data.camera_names or tuple(meta.camera_names)
    require_cameras(cameras, meta, "the dataset")
    width, said = len(meta.state_names), config.data.state_dim
    if said not in (DataOptions.state_dim, width):
        raise UserError(f"--state_dim {said}: the dataset's states have {width} values")
    policy_config = PolicyConfig(
        **vars(config.policy),
        camera_names=cameras,
        # What was streamed was resized on the way.
        recorded_aspects=None if config.data.streaming else _aspects(dataset, cameras),
        fps=meta.fps,
        action_source="recorded" if meta.action_source == "recorded" else "state",
        action_offset=meta.action_offset if meta.action_source == "state" else None,
        state_dim=width,
        state_names=meta.state.names,
        state_units=meta.state.units,
        action_dim=len(meta.action_names),
        action_names=meta.action.names,
        action_units=meta.action.units,
    )
    policy = DiffusionPolicyModel(**vars(policy_config))
    if config.optimization.init_from is None and config.optimization.pretrained_backbone != "none":
        policy.load_pretrained_backbone(config.optimization.pretrained_backbone)
    return policy


def _aspects(dataset: Dataset, cameras: Sequence[str]) -> tuple[float, ...]:
    """Width by height of each camera's first picture."""
    [pictures] = row_pictures(camera_cells(dataset, cameras), [0])
    return tuple(round(pictures[camera].width / pictures[camera].height, 4) for camera in cameras)
