"""The record of a run: progress bar, trackers, `metrics.jsonl` (an object a line), and `curves.png` drawn from it."""

import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

from dp_hf.arms.quantities import Quantities, amounts_of
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, full_disk_named, read_json
from dp_hf.training.checkpoints import Progress

METRICS_FILE = "metrics.jsonl"
# Beside a pipeline: how far it had come when it was saved.
TRAINING_FILE = "training.json"


class Records:
    """Writes down how a run goes; every process has one, the main process writes.

    After a resume, rows that the checkpoint does not know are removed: they are written again.
    """

    def __init__(self, accelerator: Accelerator, folder: Path, progress: Progress, num_steps: int, log_interval: int):
        self.accelerator, self.folder, self.progress, self.log_interval = accelerator, folder, progress, log_interval
        self.started = time.monotonic()
        self.loss_sum = torch.tensor(progress.loss_sum, device=accelerator.device)
        self.bar = tqdm(
            total=num_steps,
            initial=progress.step,
            desc="Training",
            unit="step",
            mininterval=0.5,
            disable=not accelerator.is_main_process,
        )
        if accelerator.is_main_process:
            _keep_rows(folder / METRICS_FILE, progress.metrics_rows)

    def add_loss(self, loss: torch.Tensor) -> None:
        """Adds a batch's loss to the running mean, without waiting for the device."""
        self.loss_sum += loss.detach()
        self.progress.loss_count += 1

    def update(self, learning_rate: float) -> None:
        """Counts an update of the weights, and writes a row every `log_interval` of them.

        Raises:
            UserError: the loss is not finite.
        """
        self.bar.update()
        if self.progress.step % self.log_interval == 0:
            self.write_loss(learning_rate)

    def write_loss(self, learning_rate: float) -> None:
        """Writes a row with the mean loss since the last one, if there was a batch; raises as `update`."""
        if self.progress.loss_count == 0:
            return
        loss = self.reduced_loss() / self.progress.loss_count
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at update {self.progress.step}: resume from a checkpoint before it, or begin "
                "again, with a lower --learning_rate, --clip_grad_norm 1 or --mixed_precision no"
            )
        self.loss_sum.zero_()
        self.progress.loss_count = 0
        self.bar.set_postfix(loss=f"{loss:.4f}", epoch=self.progress.epoch)
        self.write({"loss": loss, "learning_rate": learning_rate})

    def reduced_loss(self) -> float:
        """The running sum of losses, the mean over the processes; puts it into each, and into `progress`."""
        self.loss_sum = self.accelerator.reduce(self.loss_sum, reduction="mean")
        self.progress.loss_sum = self.loss_sum.item()
        return self.progress.loss_sum

    def write(self, values: dict[str, Any]) -> None:
        """Appends a row: `values`, the update, the epoch and the seconds since the start."""
        where = {"step": self.progress.step, "epoch": self.progress.epoch}
        self.accelerator.log(_flat(values), step=self.progress.step)
        if self.accelerator.is_main_process:
            seconds = round(time.monotonic() - self.started, 1)
            path = self.folder / METRICS_FILE
            with full_disk_named(path), open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(where | values | {"seconds": seconds}) + "\n")
        self.progress.metrics_rows += 1


def require_rows(folder: Path, count: int) -> None:
    """Raises `UserError` unless `metrics.jsonl` holds the first `count` rows, which a checkpoint knows."""
    if not count:
        return
    path = folder / METRICS_FILE
    if not path.is_file():
        raise UserError(f"{path}: is missing, and the checkpoint goes on after {count} rows of it: copy it there")
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:count]]
        if len(rows) < count or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{len(rows)} rows")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged, the checkpoint goes on after {count} rows of it ({error})") from error


def _keep_rows(path: Path, count: int) -> None:
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True)[:count] if count else []
    with file_written_beside(path) as file:
        file.write_text("".join(rows), encoding="utf-8")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers under names with slashes, as trackers want them."""
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            flat |= _flat({str(i): element for i, element in enumerate(value)}, f"{prefix}{name}/")
        elif not isinstance(value, str):
            flat[f"{prefix}{name}"] = value
    return flat


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All rows of a run's `metrics.jsonl`; a last line that a kill cut short is left out."""
    lines = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def write_training(pipeline: Path, run: Path, progress: Progress) -> None:
    """Notes in a pipeline's folder the epochs and updates of its training, and the last mean loss in the run's rows."""
    losses = [row["loss"] for row in read_metrics(run) if "loss" in row]
    content = {"epoch": progress.epoch, "step": progress.step, "train_loss": losses[-1] if losses else None}
    (pipeline / TRAINING_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_training(pipeline: Path) -> dict[str, float]:
    """What `write_training` noted, less what it did not know; empty for a pipeline that no run has saved there."""
    if not (pipeline / TRAINING_FILE).is_file():
        return {}
    return {name: value for name, value in read_json(pipeline / TRAINING_FILE).items() if type(value) in (int, float)}


def draw_curves(folder: Path) -> None:
    """Draws loss, learning rate, validation errors and rollout success over the updates into `curves.png`."""
    from matplotlib.figure import Figure

    rows = read_metrics(folder)
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    loss_axes, joint_axes, phase_axes = figure.subplots(1, 3)
    losses = [row for row in rows if "loss" in row]
    steps = [row["step"] for row in losses]
    loss_axes.plot(steps, [row["loss"] for row in losses], linewidth=0.8)
    loss_axes.set(title="training loss", xlabel="update", yscale="log")
    rate_axes = loss_axes.twinx()
    rate_axes.plot(steps, [row["learning_rate"] for row in losses], color="0.7")
    rate_axes.set(ylabel="learning rate (grey)")

    validations = [row for row in rows if "validation" in row]
    steps = [row["step"] for row in validations]
    last = validations[-1]["validation"] if validations else {"by_joint": {}, "by_phase": {}}
    names = tuple(last["by_joint"])
    actions = Quantities(names, tuple(last.get("units", ["unknown"] * len(names))))
    of_arm = [unit for index, unit in enumerate(actions.units) if index not in actions.grippers]
    for axes, kind, units in ((joint_axes, "by_joint", actions.units), (phase_axes, "by_phase", of_arm)):
        axes.set(title=f"validation error {kind.replace('_', ' ')} ({amounts_of(units)})", xlabel="update")
        for index, name in enumerate(last[kind]):
            # A validation in which a phase did not occur has no error for it.
            errors = [row["validation"][kind].get(name, math.nan) for row in validations]
            # There are ten colours.
            axes.plot(steps, errors, (".-", ".--", ".:")[index // 10 % 3], label=name, linewidth=0.8)
        if axes.lines:
            axes.set_ylim(bottom=0)
            axes.legend(fontsize=6)
    rollouts = [row for row in validations if "rollout" in row]
    if rollouts:
        success_axes = phase_axes.twinx()
        success = [row["rollout"]["success_rate"] for row in rollouts]
        success_axes.plot([row["step"] for row in rollouts], success, "k.--")
        success_axes.set(ylim=(0, 1.05), ylabel="rollout success (black)")
    with file_written_beside(folder / "curves.png") as file:
        figure.savefig(file, dpi=120)
