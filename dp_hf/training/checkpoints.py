"""Checkpoints from which a run continues exactly."""

import json
import math
import re
import shutil
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from accelerate.utils.other import load as load_without_code
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file

from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, read_json, recover, user_path
from dp_hf.training.origin import Origin, require_same_origin, write_origin

PROGRESS_FILE = "progress.json"
EMA_FILE = "ema.safetensors"


@dataclass
class Progress:
    """Where a run is: everything but tensors and random states that it needs to continue.

    Attributes:
        num_windows, num_processes: must be the same when the run continues.
        epoch: the one that is running, from 0.
        batch: batches (of each process) done of it.
        step: updates of the weights so far.
        loss_sum, loss_count: of the batches since the last row of metrics.
        metrics_rows: rows of metrics.jsonl.
        best: the best score so far, larger is better; None before the first validation.
    """

    num_windows: int
    num_processes: int
    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    metrics_rows: int = 0
    best: list[float] | None = None


def save_checkpoint(
    accelerator: Accelerator,
    output_dir: Path,
    progress: Progress,
    ema: EMAModel | None,
    origin: Origin,
    total_limit: int | None,
) -> Path:
    """Writes `checkpoint-<step>`, then removes the oldest ones beyond the limit. Every process has to call it."""
    target = output_dir / f"checkpoint-{progress.step}"
    with folder_written_beside(target) if accelerator.is_main_process else nullcontext() as folder:
        # Every process writes its part into the folder that the main process has made.
        [folder] = broadcast_object_list([folder])
        accelerator.save_state(str(folder))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (folder / PROGRESS_FILE).write_text(json.dumps(asdict(progress), indent=2), encoding="utf-8")
            if ema is not None:
                tensors = {str(i): tensor.contiguous() for i, tensor in enumerate(ema.shadow_params)}
                save_file(tensors, folder / EMA_FILE)
            write_origin(folder, origin)
    if accelerator.is_main_process and total_limit is not None:
        for old in list_checkpoints(output_dir)[:-total_limit]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return target


def load_checkpoint(
    accelerator: Accelerator, folder: Path, progress: Progress, ema: EMAModel | None, origin: Origin, num_batches: int
) -> None:
    """Restores networks, optimizer, scheduler, random states, average and `progress` (in place).

    Accelerate reads its own files without executing what is in them (`torch.load(weights_only=True)`). A checkpoint
    of an earlier version, which does not say what it belongs to, is taken with a warning.

    Args:
        num_batches: of an epoch, in each process.

    Raises:
        UserError: the folder is no checkpoint, a damaged one, or one of another configuration, data or number of
            processes.
    """
    saved = _read_progress(folder, num_batches)
    if saved.num_processes != progress.num_processes:
        raise UserError(
            f"{folder}: num_processes was {saved.num_processes} and is {progress.num_processes}; start as many "
            "processes to continue"
        )
    if not require_same_origin(folder, origin):
        accelerator.print(
            f"warning: {folder} is of an earlier version, which did not write down what it belongs to: whether data "
            "and options are the same is not checked"
        )
    if saved.num_windows != progress.num_windows:
        raise UserError(
            f"{folder}: num_windows was {saved.num_windows} and is {progress.num_windows}; use the same data, "
            "validation_fraction and seed to continue"
        )
    if (ema is not None) != (folder / EMA_FILE).is_file():
        raise UserError(f"{folder}: the checkpoint was made {'without' if ema else 'with'} ema_decay")
    states = _read_random_states(accelerator, folder)
    try:
        accelerator.load_state(str(folder))
        if ema is not None:
            _load_average(ema, folder / EMA_FILE, saved.step)
    # Whatever a damaged file makes of torch, pickle and safetensors.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{folder}: does not fit this configuration, or is damaged ({reason})") from error
    # Accelerate says nothing about random states that it could not set.
    if not torch.equal(torch.get_rng_state(), states["torch_manual_seed"]):
        raise UserError(f"{folder}: its random states cannot be restored; resume from another checkpoint")
    progress.__dict__.update(asdict(saved))


def _read_progress(folder: Path, num_batches: int) -> Progress:
    try:
        saved = Progress(**read_json(folder / PROGRESS_FILE))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder}: not a checkpoint of this command ({error})") from error
    counts = {name: value for name, value in asdict(saved).items() if name not in ("loss_sum", "best")}
    for name, value in counts.items():
        if type(value) is not int or value < 0:
            raise UserError(f"{folder / PROGRESS_FILE}: {name} is a count; got {value!r}")
    if saved.batch > num_batches:
        raise UserError(f"{folder / PROGRESS_FILE}: batch {saved.batch} of an epoch that has {num_batches}")
    scores = saved.best if isinstance(saved.best, list) else [] if saved.best is None else [saved.best]
    for name, value in [("loss_sum", saved.loss_sum), *(("best", score) for score in scores)]:
        if type(value) not in (int, float) or (name == "loss_sum" and not math.isfinite(value)):
            raise UserError(f"{folder / PROGRESS_FILE}: {name} is a number; got {value!r}")
    return saved


def _read_random_states(accelerator: Accelerator, folder: Path) -> dict:
    """Of this process; accelerate would go on without those that it cannot read."""
    path = folder / f"random_states_{accelerator.process_index}.pkl"
    if not path.is_file():
        raise UserError(f"{folder}: holds no random state of process {accelerator.process_index}")
    wanted = ["random_state", "numpy_random_seed", "torch_manual_seed"]
    wanted += ["torch_cuda_manual_seed"] if accelerator.device.type == "cuda" else []
    try:
        states = load_without_code(path)
        missing = [name for name in wanted if name not in states]
    except Exception as error:
        raise UserError(f"{path}: is damaged ({type(error).__name__}); resume from another checkpoint") from error
    if missing:
        raise UserError(f"{path}: holds no {missing[0]}; resume on the kind of device that the checkpoint is from")
    return states


def _load_average(ema: EMAModel, path: Path, step: int) -> None:
    tensors = load_file(path, device=str(ema.shadow_params[0].device))
    expected = {str(i): shadow.shape for i, shadow in enumerate(ema.shadow_params)}
    if {name: tensor.shape for name, tensor in tensors.items()} != expected:
        raise ValueError(f"{path.name} holds an average of other tensors")
    for name, tensor in tensors.items():
        ema.shadow_params[int(name)].copy_(tensor)
    ema.optimization_step = step


def find_checkpoint(output_dir: Path, which: str) -> Path:
    """The folder that `--resume_from_checkpoint` means: `latest`, a path, or a name in `output_dir`."""
    recover(output_dir)
    if which == "latest":
        checkpoints = list_checkpoints(output_dir)
        if not checkpoints:
            raise UserError(f"{output_dir}: there is no checkpoint to resume from")
        return checkpoints[-1]
    for folder in (user_path(which), output_dir / which):
        if folder.is_dir():
            return folder
    raise UserError(f"{which}: no such checkpoint")


def list_checkpoints(output_dir: Path) -> list[Path]:
    """From the oldest to the latest."""
    folders = [path for path in output_dir.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(folders, key=lambda path: int(path.name.rpartition("-")[2]))
