"""The summary of a conversion, for the person who ran it."""

from dataclasses import dataclass
from pathlib import Path

from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.episodes.problems import Problem
from dp_hf.episodes.units import UnitVerdict

_MAX_NOTES = 20


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did; as text, a summary of some twenty lines and one for everything left out.

    Attributes:
        output_dir: the dataset folder.
        meta: of the dataset.
        unit: the angle unit of the recording, and why.
        fps_reason: where the rate comes from.
        fps_assumed: whether at least one episode says nothing of it.
        image_sizes: (width, height) in pixels, as recorded.
        gripper_doubt: what speaks against the gripper's range, or None.
        skipped: (episode name, problem) of every skipped episode.
        left_out: (episode name, problem) of every frame left out of the others.
        warnings: (episode name, problem) of what is converted and most likely wrong, and of folders that are links.
        notes: (episode name, problem) of what is converted all the same, as an episode that was cut at a hole.
    """

    output_dir: Path
    meta: DatasetMeta
    unit: UnitVerdict
    fps_reason: str
    fps_assumed: bool
    image_sizes: list[tuple[int, int]]
    gripper_doubt: str | None
    skipped: list[tuple[str, Problem]]
    left_out: list[tuple[str, Problem]]
    warnings: list[tuple[str, Problem]]
    notes: list[tuple[str, Problem]]

    def __str__(self) -> str:
        meta = self.meta
        sizes = ", ".join(f"{width}x{height}" for width, height in self.image_sizes)
        skip = f", one of {meta.frame_skip} frames" if meta.frame_skip > 1 else ""
        lines = [
            f"{self.output_dir}: episodes: {len(meta.episodes)}, rows: {meta.num_frames}",
            f"  angles   recorded in {self.unit.unit}: {self.unit.reason}",
            f"  rate     {meta.fps:g} rows a second ({self.fps_reason}{skip})",
            f"  images   {', '.join(meta.camera_names)} ({sizes})",
            f"  actions  {meta.action_meaning}",
            "",
        ]
        table = [("", "min", "max", "mean", "std"), *meta.statistics_table()]
        width = max(len(label) for label, *_ in table)
        lines += [f"  {label:<{width}}" + "".join(f"{cell:>10}" for cell in cells) for label, *cells in table]
        for problems, what in ((self.skipped, "episodes skipped"), (self.left_out, "frames left out")):
            if problems:
                lines += ["", f"{len(problems)} {what}:"]
                lines += [f"  {name}: {problem}" for name, problem in problems]
        if self.notes:
            lines += ["", f"{len(self.notes)} notes:"]
            lines += [f"  {name}: {problem}" for name, problem in self.notes[:_MAX_NOTES]]
            if len(self.notes) > _MAX_NOTES:
                lines.append(f"  and {len(self.notes) - _MAX_NOTES} more, which dp-hf check-episodes lists")
        if self.warnings:
            lines.append("")
            lines += [f"warning: {name}: {problem}" for name, problem in self.warnings[:_MAX_NOTES]]
            if len(self.warnings) > _MAX_NOTES:
                lines.append(f"warning: {len(self.warnings) - _MAX_NOTES} more, which dp-hf check-episodes lists")
        if self.fps_assumed:
            lines += ["", f"warning: the rate is {self.fps_reason}"]
        if self.unit.doubtful:
            lines += ["", f"warning: the angle unit is doubtful: {self.unit.reason}; state it with --angle_unit"]
        if self.gripper_doubt:
            lines += ["", f"warning: {self.gripper_doubt}; state the recorded range with --gripper_range MIN MAX"]
        return "\n".join(lines)
