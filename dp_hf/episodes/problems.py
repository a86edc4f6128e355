"""What can be wrong with a recording: every kind, how much it costs, and its remedy."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

# Errors: no conversion (dataset); the episode is skipped; the frame is left out. A warning: what is read most likely
# means something else; --strict makes it an error. A note: nothing is wrong with what is read.
Severity = Literal["dataset", "episode", "frame", "warning", "note"]
ERRORS = ("dataset", "episode", "frame")


class Kind(NamedTuple):
    severity: Severity
    remedy: str


FAILED = "failed episode"

KINDS = {
    "mixed units": Kind("dataset", "move the episodes of one unit to a folder of their own"),
    "unknown unit": Kind("dataset", "state the unit with --angle_unit"),
    "unclear rate": Kind(
        "dataset", "state the rate with --fps, or move the episodes of one rate to a folder of their own"
    ),
    "mixed cameras": Kind("episode", "name the cameras that all episodes have with --camera_names"),
    "states file": Kind("episode", "restore the file from a copy, or record the episode again"),
    FAILED: Kind("episode", "nothing, if it did fail; else remove the FAILED_EPISODE file"),
    "short episode": Kind("episode", "correct its frames, or record the episode again"),
    "malformed frame": Kind("frame", "correct the frame in the JSON file"),
    "short part": Kind("frame", "nothing, or record the episode again without holes"),
    "failed frame": Kind("frame", "nothing, if it did fail; else correct the frame's mark"),
    "image path": Kind("frame", "copy the image into the episode's folder and name it relative to that"),
    "missing image": Kind("frame", "restore the image from a copy, or remove the frame"),
    "corrupt image": Kind("frame", "restore the image from a copy, or remove the frame"),
    "no motion": Kind("warning", "see that the recorder read the joints; move the episode away"),
    "frozen reading": Kind("warning", "nothing, if the arm did stand still; else record the episode again"),
    "zero reading": Kind("warning", "remove the frame, if the arm was not there"),
    "spike": Kind("warning", "remove the frame, if the arm was not there"),
    "wrapped angle": Kind("warning", "convert with --unwrap_angles, so that the angle goes on"),
    "stalled camera": Kind("warning", "move the episode away: its pictures do not belong to its states"),
    "assumed rate": Kind("warning", "state the rate with --fps"),
    "doubtful unit": Kind("warning", "state the unit with --angle_unit if the guess is wrong"),
    "gripper range": Kind("warning", "state the range of the recorded values with --gripper_range MIN MAX"),
    "actor": Kind("warning", "write into the frame's actor who acted: nobody learns from it as it is"),
    "timestamp": Kind("note", "nothing: those that increase tell the rate, where most do; --fps states another"),
    "hole": Kind("note", "nothing: no action or window reaches over it; --fps says that frames are evenly spaced"),
    "image size": Kind("note", "nothing, if the camera is the same: training resizes images"),
    "unlisted image": Kind("note", "nothing: an image that no frame lists is not read"),
    "duplicate image": Kind("note", "see that the recorder saved a new image for every frame"),
    "duplicate episode": Kind("warning", "move the copy away: it would count double, or be in training and test"),
    "unknown failure": Kind("warning", "find the failed episode; mark it with a FAILED_EPISODE file inside it"),
    "unfinished recording": Kind("warning", "close the list in its states.json with ], and remove dot and _partial"),
    "link": Kind("warning", "copy the folder: links are not followed"),
    "two states files": Kind("warning", "remove the one that is not wanted: the first of them is read"),
}


@dataclass(frozen=True)
class Problem:
    """One finding: its kind (a key of `KINDS`), what was found, and the frame's position in the JSON list."""

    kind: str
    message: str
    frame: int | None = None

    @property
    def severity(self) -> Severity:
        return KINDS[self.kind].severity

    @property
    def remedy(self) -> str:
        return KINDS[self.kind].remedy

    def is_error(self, strict: bool = False) -> bool:
        """Whether something is lost by it; with `strict`, whether it is more than a note."""
        return self.severity in ERRORS or (strict and self.severity == "warning")

    def __str__(self) -> str:
        where = "" if self.frame is None else f"frame {self.frame}: "
        return f"{where}{self.message}"


def first_lines(lines: Sequence[str], count: int = 20) -> list[str]:
    """At most `count` of the lines, and how many more there are."""
    more = len(lines) - count
    return [*lines[:count], *([f"and {more} more like these"] if more > 0 else [])]


LINK = Problem("link", "is a link, and not followed")


def shorten(value: Any) -> str:
    """A value from a file as printable text of bounded length."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 100
    short.maxlevel = 2
    return short.repr(value)
