"""The summary of a conversion, for the person who ran it."""

from dataclasses import dataclass
from pathlib import Path

from dp_hf.episodes.format import RECORDING_FILE
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.episodes.problems import Problem, first_lines
from dp_hf.episodes.units import UnitVerdict


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did; as text, a summary of some twenty lines and one for everything left out.

    Attributes:
        output_dir: the dataset folder.
        meta: of the dataset.
        unit: the angle unit of the recording, and why; None where a file beside the episodes says what the numbers are.
        fps_reason: where the rate comes from.
        image_sizes: (width, height) in pixels, as recorded.
        doubts: what speaks against how the recording as a whole is read: its unit, rate, gripper's range.
        skipped: (episode name, problem) of every skipped episode.
        left_out: (episode name, problem) of every frame left out of the others.
        warnings: (episode name, problem) of what is converted and most likely wrong, and of folders that are links.
        notes: (episode name, problem) of what is converted all the same, as an episode that was cut at a hole.
    """

    output_dir: Path
    meta: DatasetMeta
    unit: UnitVerdict | None
    fps_reason: str
    image_sizes: list[tuple[int, int]]
    doubts: list[str]
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
            f"  angles   recorded in {self.unit.unit}: {self.unit.reason}"
            if self.unit
            else f"  numbers  {meta.state}, as {RECORDING_FILE} says",
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
            lines += ["", f"{len(self.notes)} notes, all of which dp-hf check-episodes lists:"]
            lines += [f"  {line}" for line in first_lines([f"{name}: {problem}" for name, problem in self.notes])]
        if self.warnings:
            warnings = first_lines([f"{name}: {problem}; {problem.remedy}" for name, problem in self.warnings])
            lines += ["", *(f"warning: {line}" for line in warnings)]
        if self.doubts:
            lines += ["", *(f"warning: {doubt}" for doubt in self.doubts)]
        return "\n".join(lines)
