"""The frames of a bag's episodes: of each part in which time runs evenly, by the clock that serves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dp_hf.episodes.format import MIN_FRAMES
from dp_hf.errors import UserError
from dp_hf.interop.rosbag.alignment import Alignment, Gap, align
from dp_hf.interop.rosbag.lone_jumps import SMALLEST_JUMP, clock_shifts
from dp_hf.interop.rosbag.passes import Clock, Part, Stamps, split
from dp_hf.interop.rosbag.reader import BagContents

_CLOCKS: dict[Clock, str] = {"made": "times of the headers", "received": "times of the recorder"}
# Seconds from the sender to the recorder; what takes longer may as well come from another clock.
_LONGEST_WAY = 1.0


@dataclass(frozen=True)
class EpisodePart:
    """An episode, as `Alignment` has it, and what of the clock came before it.

    Attributes:
        largest_offset: of its frames' messages, in seconds.
    """

    before: str
    gaps: list[Gap]
    largest_offset: float


@dataclass(frozen=True)
class BagEpisodes:
    """The episodes of a bag, one after the other.

    Attributes:
        clock: which times were used, in words.
        parts: the episodes.
        part_of: (frames,) which of them a frame is in.
        times: (frames,) seconds from the episode's first frame.
        chosen: stream to (frames,) positions of its messages.
        notes: what could not be used, in words.
    """

    clock: str
    parts: list[EpisodePart]
    part_of: np.ndarray
    times: np.ndarray
    chosen: dict[str, np.ndarray]
    notes: list[str]

    @property
    def gaps(self) -> list[Gap]:
        return [gap for part in self.parts for gap in part.gaps]


def find_episodes(bag: Path, contents: BagContents, joints: Sequence[str], fps: float, tolerance: float) -> BagEpisodes:
    """By the times in the headers, else by those of the recorder: one clock for the whole bag.

    A clock serves where most messages of every stream have a time, and where images and joints overlap.

    Raises:
        UserError: a joint is missing, or no clock serves.
    """
    if missing := [name for name in joints if name not in contents.joints]:
        found = ", ".join(contents.joints) or "no joint"
        raise UserError(f"{bag}: the joint states lack {', '.join(missing)}; they have {found}")
    streams: dict[str, Stamps] = {**contents.images, **{name: contents.joints[name] for name in joints}}
    why = f"images and joint states have no time in common within {tolerance:g} s"
    for clock, words in _CLOCKS.items():
        untimed = {name: np.isnan(getattr(stamps, clock)) for name, stamps in streams.items()}
        if any(2 * absent.sum() > len(absent) for absent in untimed.values()):
            continue
        parts = split(streams, clock, fps, tolerance)
        fewest = MIN_FRAMES if len(parts) > 1 else 1
        kept = _of_so_many([(part, _align(streams, clock, part, fps, tolerance)) for part in parts], fewest)
        notes: list[str] = []
        if clock == "made":
            for without in (_without_contradicted, _without_jumped):
                kept = _of_so_many(without(streams, kept, notes), fewest)
        if kept:
            places = {place for name in streams for place in np.array(streams[name].place)[untimed[name]].tolist()}
            if places:
                notes.append(f"{len(places)} messages without a time are left out")
            if dropped := len(parts) - len(kept):
                notes.append(f"left out between jumps of the clock: {dropped} parts of fewer than {MIN_FRAMES} frames")
            return _joined(words, kept, notes)
        if len(parts) > 1:
            why = (
                f"none of {len(parts)} parts between jumps of the clock has {MIN_FRAMES} frames within {tolerance:g} s"
            )
    if contents.broken:
        why += f"; {contents.broken} messages could not be read"
    raise UserError(f"{bag}: {why}")


def _align(streams: Mapping[str, Stamps], clock: Clock, part: Part, fps: float, tolerance: float) -> Alignment:
    """The frames of a part; none where a stream has no message in it. Chosen are positions in the whole stream."""
    if not all(map(len, part.positions.values())):
        return Alignment(np.zeros(0), {}, [], np.zeros(0))
    times = {name: np.array(getattr(streams[name], clock))[rows] for name, rows in part.positions.items()}
    alignment = align(times, fps, tolerance)
    chosen = {name: part.positions[name][rows] for name, rows in alignment.chosen.items()}
    return replace(alignment, chosen=chosen)


def _of_so_many(aligned: list[tuple[Part, Alignment]], fewest: int) -> list[tuple[Part, Alignment]]:
    return [(part, alignment) for part, alignment in aligned if len(alignment.times) >= fewest]


def _without_contradicted(
    streams: Mapping[str, Stamps], aligned: list[tuple[Part, Alignment]], notes: list[str]
) -> list[tuple[Part, Alignment]]:
    """Leaves out frames of which the headers say one moment and the recorder different ones, unless all are so.

    Then one clock jumped alone. Where all frames are so, the way may as well be long, which is only noted.
    """
    apart = [_received_apart(streams, alignment) > _LONGEST_WAY for _, alignment in aligned]
    wrong, total = sum(map(np.count_nonzero, apart)), sum(map(len, apart))
    if not wrong:
        return aligned
    received = f"the recorder received their messages more than {_LONGEST_WAY:g} s apart"
    if wrong == total:
        notes.append(f"in all {total} frames {received}: are the clocks of cameras and arm the same?")
        return aligned
    notes.append(f"{wrong} of {total} frames are left out: {received}, so a clock of cameras or arm jumped alone")
    return [(part, _rows(alignment, ~wrong)) for (part, alignment), wrong in zip(aligned, apart, strict=True)]


def _without_jumped(
    streams: Mapping[str, Stamps], aligned: list[tuple[Part, Alignment]], notes: list[str]
) -> list[tuple[Part, Alignment]]:
    """Leaves out frames before or after a stream's clock jumped alone: where the recorder says that they are apart."""
    shifts = {name: clock_shifts(stamps) for name, stamps in streams.items()}
    jumped = [name for name in shifts if shifts[name].any()]
    if not (jumped and aligned):
        return aligned
    chosen = {name: np.concatenate([alignment.chosen[name] for _, alignment in aligned]) for name in streams}
    columns = np.array([shifts[name][rows] for name, rows in chosen.items()])
    columns -= columns[0]
    apart = np.concatenate([_received_apart(streams, alignment) for _, alignment in aligned])
    sorts, sort_of = np.unique(columns, axis=1, return_inverse=True)
    right = min(range(sorts.shape[1]), key=lambda sort: np.median(apart[sort_of.ravel() == sort]))
    wrong = (np.abs(columns - sorts[:, [right]]) > SMALLEST_JUMP).any(axis=0)
    if not wrong.any():
        return aligned
    notes.append(
        f"{wrong.sum()} of {len(wrong)} frames are left out: the clock of {' and '.join(jumped)} jumped alone, by "
        f"{np.abs(columns[:, wrong] - sorts[:, [right]]).max():.2f} s"
    )
    each = np.split(wrong, np.cumsum([len(alignment.times) for _, alignment in aligned])[:-1])
    return [(part, _rows(alignment, ~wrong)) for (part, alignment), wrong in zip(aligned, each, strict=True)]


def _received_apart(streams: Mapping[str, Stamps], alignment: Alignment) -> np.ndarray:
    """(frames,) seconds between the moments at which the recorder saw the messages of a frame."""
    received = [np.array(streams[name].received)[rows] for name, rows in alignment.chosen.items()]
    return np.nan_to_num(np.ptp(received, axis=0)) if received else np.zeros(0)


def _rows(alignment: Alignment, kept: np.ndarray) -> Alignment:
    chosen = {name: rows[kept] for name, rows in alignment.chosen.items()}
    return replace(alignment, times=alignment.times[kept], chosen=chosen, offsets=alignment.offsets[kept])


def _joined(clock: str, kept: list[tuple[Part, Alignment]], notes: list[str]) -> BagEpisodes:
    alignments = [alignment for _, alignment in kept]
    return BagEpisodes(
        clock,
        [EpisodePart(part.before, alignment.gaps, float(alignment.offsets.max())) for part, alignment in kept],
        np.repeat(np.arange(len(kept)), [len(alignment.times) for alignment in alignments]),
        np.concatenate([alignment.times - alignment.times[0] for alignment in alignments]),
        {name: np.concatenate([alignment.chosen[name] for alignment in alignments]) for name in alignments[0].chosen},
        notes,
    )
