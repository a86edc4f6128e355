"""What edits make of episodes: which frames become which episode. Nothing is read or written here."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np

from dp_hf.episodes.format import MIN_FRAMES, part_name, whole_episode
from dp_hf.errors import UserError
from dp_hf.review.motion import motion_of, ranges, usual_speed
from dp_hf.review.tracks import Track

# Of the largest step of both episodes, what may lie between the last frame of one and the first of the next.
_LONGEST_STEP = 3.0


@dataclass(frozen=True)
class Edits:
    """What is to be done, by the names of episodes and the numbers of frames in them.

    Attributes:
        drop: `NAME`, or `NAME:FIRST-LAST` for some frames; where they lie in the middle, two episodes are left.
        split: `NAME:FRAME`, the first frame of the second part.
        join: `NAME+NAME`, one behind the other.
        cut_idle: seconds in which nothing moves, at either end, that are left; None leaves all.
    """

    drop: Sequence[str] = ()
    split: Sequence[str] = ()
    join: Sequence[str] = ()
    cut_idle: float | None = None


class Span(NamedTuple):
    """Frames `first` to `last` of an episode, by their numbers; `source` is the position of its folder or dataset."""

    source: int
    episode: str
    first: int
    last: int


class Piece(NamedTuple):
    """An episode of the result: spans, one behind the other."""

    name: str
    spans: tuple[Span, ...]


def plan(sources: Sequence[Sequence[Track]], edits: Edits) -> tuple[list[Piece], list[str]]:
    """The episodes of the result, and a line for each that is not what it was.

    Args:
        sources: episodes of each folder or dataset, in its order.

    Raises:
        UserError: an edit names no episode, or no frames of it, or what cannot be.
    """
    tracks = {(source, track.name): track for source, own in enumerate(sources) for track in own}
    spans = {key: [Span(*key, int(track.frames[0]), int(track.frames[-1]))] for key, track in tracks.items()}
    said: list[str] = []
    if edits.cut_idle is not None:
        _cut_idle(tracks, spans, edits.cut_idle, said)
    for text in edits.drop:
        key, frames = _meant(text, tracks)
        first, last = frames or (int(tracks[key].frames[0]), int(tracks[key].frames[-1]))
        spans[key] = [part for span in spans[key] for part in _without(span, first, last)]
        said.append(f"{key[1]}: {'dropped' if frames is None else f'frames {first} to {last} dropped'}")
    for text in edits.split:
        key, frames = _meant(text, tracks)
        if frames is None or frames[0] != frames[1]:
            raise UserError(f"--split {text}: give NAME:FRAME, the first frame of the second part")
        if not any(span.first < frames[0] <= span.last for span in spans[key]):
            raise UserError(f"--split {text}: nothing of {key[1]} is left before or from frame {frames[0]} on")
        spans[key] = [part for span in spans[key] for part in _halves(span, frames[0])]
        said.append(f"{key[1]}: split before frame {frames[0]}")
    for key, left in spans.items():
        for span in left:
            if _count(tracks[key], span) < MIN_FRAMES:
                said.append(f"{key[1]}: frames {span.first} to {span.last} dropped, fewer than {MIN_FRAMES} are left")
        spans[key] = [span for span in left if _count(tracks[key], span) >= MIN_FRAMES]
    joined = _joined(edits.join, tracks, spans, said)
    return _named(spans, joined, said), said


def _cut_idle(tracks: dict, spans: dict[tuple[int, str], list[Span]], left: float, said: list[str]) -> None:
    by_source: dict[int, list[Track]] = {}
    for (source, _), track in tracks.items():
        by_source.setdefault(source, []).append(track)
    for source, own in by_source.items():
        scale = ranges(own)
        usual = usual_speed(own, scale)
        for track in own:
            _, marks = motion_of(track, scale, usual)
            first, last = 0, len(track.frames) - 1
            for mark in marks:
                if mark.measure != "idle" or mark.stop - mark.start == len(track.frames):
                    continue  # an arm that never moves is not idle at one end
                if mark.start == 0:
                    first = int(np.searchsorted(track.seconds, track.seconds[mark.stop - 1] - left - 1e-6))
                else:
                    last = int(np.searchsorted(track.seconds, track.seconds[mark.start] + left + 1e-6, "right")) - 1
            cut = first + len(track.frames) - 1 - last
            if cut:
                frames = int(track.frames[first]), int(track.frames[last])
                spans[source, track.name] = [Span(source, track.name, *frames)]
                said.append(f"{track.name}: {cut} idle frames cut, frames {frames[0]} to {frames[1]} are left")


def _meant(text: str, tracks: dict[tuple[int, str], Track]) -> tuple[tuple[int, str], tuple[int, int] | None]:
    """The episode of NAME, NAME:FRAME or NAME:FIRST-LAST, and the frames."""
    name, frames = text, None
    if not any(text == known for _, known in tracks):
        found = re.fullmatch(r"(.+):(\d+)(?:-(\d+))?", text)
        if found:
            name, frames = found[1], (int(found[2]), int(found[3] or found[2]))
    keys = [key for key in tracks if key[1] == name]
    if not keys:
        known = [known for _, known in tracks]
        raise UserError(f"there is no episode {name!r}: there are {', '.join(known[:5])}{', ...' * (len(known) > 5)}")
    if len(keys) > 1:
        raise UserError(
            f"several of the folders have an episode {name!r}: edit the one that is meant first, then merge"
        )
    track = tracks[keys[0]]
    first, last = int(track.frames[0]), int(track.frames[-1])
    if frames is not None and not first <= frames[0] <= frames[1] <= last:
        raise UserError(f"{text}: the frames of {name} are {first} to {last}")
    return keys[0], frames


def _without(span: Span, first: int, last: int) -> list[Span]:
    """What is left of a span without the frames from `first` to `last`."""
    before, after = span._replace(last=min(span.last, first - 1)), span._replace(first=max(span.first, last + 1))
    if first > span.last or last < span.first:
        return [span]
    return [part for part in (before, after) if part.first <= part.last]


def _halves(span: Span, frame: int) -> list[Span]:
    if not span.first < frame <= span.last:
        return [span]
    return [span._replace(last=frame - 1), span._replace(first=frame)]


def _count(track: Track, span: Span) -> int:
    return int(((track.frames >= span.first) & (track.frames <= span.last)).sum())


def _joined(
    texts: Sequence[str],
    tracks: dict[tuple[int, str], Track],
    spans: dict[tuple[int, str], list[Span]],
    said: list[str],
) -> dict[tuple[int, str], list[tuple[int, str]]]:
    """By the first episode of each chain, those behind it, which are taken out of `spans`."""
    chains: dict[tuple[int, str], list[tuple[int, str]]] = {}
    taken: set[tuple[int, str]] = set()
    for text in texts:
        keys = [_meant(name, tracks)[0] for name in text.split("+")]
        if len(set(keys)) < 2 or len(set(keys)) < len(keys) or taken & {*keys}:
            raise UserError(f"--join {text}: give two or more different episodes, NAME+NAME, each of them once")
        for key in keys:
            if len(spans[key]) != 1:
                raise UserError(f"--join {text}: {key[1]} is not one episode any more: drop and split first, then join")
        for before, after in pairwise(keys):
            _require_no_jump(tracks[before], spans[before][0], tracks[after], spans[after][0], text)
        taken |= {*keys}
        chains[keys[0]] = keys[1:]
        said.append(f"{keys[0][1]}: joined with {', '.join(name for _, name in keys[1:])}")
    return chains


def _require_no_jump(one: Track, its: Span, other: Track, others: Span, text: str) -> None:
    if difference := one.state.difference(other.state):
        raise UserError(f"--join {text}: {other.name} {difference}")
    end = one.states[np.searchsorted(one.frames, its.last, "right") - 1]
    begin = other.states[np.searchsorted(other.frames, others.first)]
    largest = np.max([np.abs(np.diff(each.states, axis=0)).max(axis=0) for each in (one, other)], axis=0)
    if len(far := np.flatnonzero(np.abs(begin - end) > _LONGEST_STEP * largest + 1e-6)):
        label, where = one.state.labels[far[0]], far[0]
        raise UserError(
            f"--join {text}: {label} would jump from {end[where]:g} to {begin[where]:g}, which the arm did not do: "
            "leave them two episodes"
        )


def _named(
    spans: dict[tuple[int, str], list[Span]], chains: dict[tuple[int, str], list[tuple[int, str]]], said: list[str]
) -> list[Piece]:
    behind = {key for keys in chains.values() for key in keys}
    owner: dict[str, int] = {}
    for source, name in spans:
        owner.setdefault(whole_episode(name), source)
    pieces: list[Piece] = []
    for key, left in spans.items():
        if key in behind or not left:
            continue
        whole = whole_episode(key[1])
        name = key[1] if owner[whole] == key[0] else f"{whole}_of_{key[0] + 1}{key[1][len(whole) :]}"
        if name != key[1]:
            said.append(f"{key[1]} of folder {key[0] + 1}: called {name}, for an earlier folder has one of that name")
        if key in chains:
            pieces.append(Piece(name, (*left, *(spans[other][0] for other in chains[key]))))
        elif len(left) == 1:
            pieces.append(Piece(name, tuple(left)))
        else:
            # A whole episode may lie beside parts of another cut: their numbers are taken.
            free = (part_name(name, n) for n in count(1) if (key[0], part_name(key[1], n)) not in spans)
            pieces += [Piece(part, (span,)) for part, span in zip(free, left, strict=False)]
    if twice := [name for name, times in Counter(piece.name for piece in pieces).items() if times > 1]:
        raise UserError(f"two episodes of the result would be called {twice[0]}: rename one of them first")
    if not pieces:
        raise UserError("nothing is left: drop less")
    return pieces
