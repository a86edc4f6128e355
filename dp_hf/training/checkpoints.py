"""Checkpoints from which a run continues exactly."""

import json
import re
import shutil
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file

from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside, recover, user_path

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
    accelerator: Accelerator, output_dir: Path, progress: Progress, ema: EMAModel | None, total_limit: int | None
) -> Path:
    """Writes `checkpoint-<step>`, then removes the oldest ones beyond the limit. Every process has to call it."""
    target = output_dir / f"checkpoint-{progress.step}"
    with folder_written_beside(target) if accelerator.is_main_process else nullcontext() as folder:
        # Every process writes its part into the folder that the main process has made.
        [folder] = broadcast_object_list([folder])
        accelerator.save_state(str(folder))
        if accelerator.is_main_process:
            (folder / PROGRESS_FILE).write_text(json.dumps(asdict(progress), indent=2), encoding="utf-8")
            if ema is not None:
                tensors = {str(i): tensor.contiguous() for i, tensor in enumerate(ema.shadow_params)}
                save_file(tensors, folder / EMA_FILE)
        accelerator.wait_for_everyone()
    if accelerator.is_main_process and total_limit:
        for old in list_checkpoints(output_dir)[:-total_limit]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return target


def load_checkpoint(accelerator: Accelerator, folder: Path, progress: Progress, ema: EMAModel | None) -> None:
    """Restores networks, optimizer, scheduler, random states, average and `progress` (in place).

    Accelerate reads its own files without executing what is in them (`torch.load(weights_only=True)`).

    Raises:
        UserError: the folder is no checkpoint, or one of another configuration, data or number of processes.
    """
    try:
        saved = Progress(**json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder}: not a checkpoint of this command ({error})") from error
    for name, remedy in (
        ("num_processes", "start as many processes"),
        ("num_windows", "use the same data, validation_fraction and seed"),
    ):
        if getattr(saved, name) != getattr(progress, name):
            raise UserError(
                f"{folder}: {name} was {getattr(saved, name)} and is {getattr(progress, name)}; {remedy} to continue"
            )
    if (ema is not None) != (folder / EMA_FILE).is_file():
        raise UserError(f"{folder}: the checkpoint was made {'without' if ema else 'with'} ema_decay")
    if not (folder / f"random_states_{accelerator.process_index}.pkl").is_file():
        raise UserError(f"{folder}: holds no random state of process {accelerator.process_index}")
    try:
        accelerator.load_state(str(folder))
        if ema is not None:
            tensors = load_file(folder / EMA_FILE, device=str(ema.shadow_params[0].device))
            for i, shadow in enumerate(ema.shadow_params):
                shadow.copy_(tensors[str(i)])
            ema.optimization_step = saved.step
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise UserError(f"{folder}: does not fit this configuration ({error})") from error
    progress.__dict__.update(asdict(saved))


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
