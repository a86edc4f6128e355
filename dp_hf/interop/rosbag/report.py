"""What became of a bag, for the user."""

from dataclasses import dataclass, field
from pathlib import Path

from dp_hf.interop.rosbag.alignment import Gap


@dataclass(frozen=True)
class BagReport:
    """What became of a bag, or of a part of it.

    Attributes:
        bag: its path.
        episode: the episode's folder, or None when it gave none.
        before: what happened to the clock before this part; "" for the first one.
        num_frames: frames of the episode.
        cameras: topic to camera name.
        clock: which times were used.
        largest_offset: seconds between a frame's image and its other parts, at most.
        gaps: stretches without frames.
        problem: why there is no episode, or None.
        broken: messages of the bag that could not be read.
        notes: of the whole bag: what could not be used, and what is doubtful.
    """

    bag: Path
    episode: Path | None = None
    before: str = ""
    num_frames: int = 0
    cameras: dict[str, str] = field(default_factory=dict)
    clock: str = ""
    largest_offset: float = 0.0
    gaps: list[Gap] = field(default_factory=list)
    problem: str | None = None
    broken: int = 0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.problem is not None:
            return f"{self.bag}: no episode: {self.problem}"
        cameras = ", ".join(f"{topic} ({name})" for topic, name in self.cameras.items())
        part = f", the part after {self.before}" if self.before else ""
        lines = [
            f"{self.bag}{part} -> {self.episode}: {self.num_frames} frames of {cameras}; {self.clock};"
            f" joints at most {1000 * self.largest_offset:.0f} ms from the image"
        ]
        lines += [f"  gap {gap}" for gap in self.gaps]
        if self.broken:
            lines.append(f"  {self.broken} messages could not be read")
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)
