"""Checks a whole data folder: every problem of every episode and frame, and moving bad episodes aside."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path

from dp_hf.episodes.examination import examine
from dp_hf.episodes.find import explore, marks
from dp_hf.episodes.format import QUANTITIES, SET_ASIDE_FOLDER
from dp_hf.episodes.motion import motion_problems, stall_problems
from dp_hf.episodes.problems import LINK, Problem
from dp_hf.episodes.reader import Episode
from dp_hf.episodes.seen_images import forget_seen
from dp_hf.episodes.timing import detect_rate, frame_times, report_holes
from dp_hf.episodes.units import Gripper, UnitVerdict, detect_unit
from dp_hf.errors import UserError
from dp_hf.files import user_path
from dp_hf.workers.workers import HERE, Workers


@dataclass
class CheckReport:
    """What a scan found.

    Attributes:
        data_dir: the folder that was scanned.
        episodes: all episodes in natural order, each with its problems, those of image contents included.
        problems: those of the folder as a whole.
        unit: what the angles' unit seems to be.
    """

    data_dir: Path
    episodes: list[Episode]
    problems: list[Problem] = field(default_factory=list)
    unit: UnitVerdict | None = None

    @property
    def usable(self) -> list[Episode]:
        return [episode for episode in self.episodes if episode.why_unusable is None]

    @property
    def all_problems(self) -> list[Problem]:
        """Those of the folder, and of every episode."""
        return self.problems + [problem for episode in self.episodes for problem in episode.problems]


def check_episodes(data_dir: str | os.PathLike, progress: bool = True, workers: Workers = HERE) -> CheckReport:
    """Scans a folder of episodes and decodes every image.

    Args:
        data_dir: folder of episodes, or one episode.
        progress: show a progress bar.
        workers: who reads and decodes.

    Raises:
        UserError: `data_dir` is no folder.
    """
    root = user_path(data_dir)
    findings = explore(root)
    report = CheckReport(root, examine(findings.episodes, root, workers, "Checking", progress=progress))
    report_other_cameras(report.episodes)
    _check_sizes(report.episodes)
    _check_copies(report.episodes)
    _check_units(report)
    _check_times_and_motion(report)
    for marker in findings.markers:
        if not any(marks(marker, path) for path in findings.episodes):
            report.problems.append(Problem("unknown failure", f"{marker.name} names no episode beside it"))
    for path in findings.unfinished:
        message = f"{path.relative_to(root)} was left by a recording that was killed"
        report.problems.append(Problem("unfinished recording", message))
    for path in findings.links:
        report.problems.append(Problem("link", f"{path.relative_to(root)} {LINK}"))
    forget_seen(root, None)
    return report


def report_other_cameras(episodes: Sequence[Episode]) -> None:
    """Adds a problem to every usable episode whose cameras are not those of most episodes."""
    usable = [episode for episode in episodes if episode.why_unusable is None]
    cameras = Counter(frozenset(episode.camera_names) for episode in usable)
    for episode in usable:
        common = cameras.most_common(1)[0][0]
        if frozenset(episode.camera_names) != common:
            message = f"has cameras {sorted(episode.camera_names)}, most episodes have {sorted(common)}"
            episode.problems.append(Problem("mixed cameras", message))


def _check_sizes(episodes: list[Episode]) -> None:
    totals: Counter = Counter()
    for episode in episodes:
        totals.update(episode.packed.sizes)
    common = {camera: size for (camera, size), _ in reversed(totals.most_common())}
    for episode in episodes:
        for (camera, size), number in episode.packed.sizes.items():
            if size != common[camera]:
                message = "{} images of camera {} are {}x{}, most in the folder are {}x{}"
                message = message.format(number, camera, *size, *common[camera])
                episode.problems.append(Problem("image size", message))


def _check_copies(episodes: list[Episode]) -> None:
    first: dict[bytes, str] = {}
    for episode in episodes:
        if not episode.frames:
            continue
        digest = sha256(episode.states.tobytes()).digest()
        if digest in first:
            message = f"has the same states as {first[digest]} in every frame"
            episode.problems.append(Problem("duplicate episode", message))
        first.setdefault(digest, episode.name)


def _check_units(report: CheckReport) -> None:
    if not report.usable:
        return
    of_mycobots = [episode for episode in report.usable if episode.recording is None]
    if not of_mycobots:
        return  # a file beside them says what their numbers are
    report.unit = unit = detect_unit(of_mycobots)
    for episode in of_mycobots:
        if episode.name in unit.contradicting:
            episode.problems.append(Problem("mixed units", unit.reason))
    if unit.doubtful:
        kind = "doubtful unit" if unit.unit else "unknown unit"
        report.problems.append(Problem(kind, unit.reason))
    if doubt := Gripper().doubt(of_mycobots):
        report.problems.append(Problem("gripper range", doubt))


def _check_times_and_motion(report: CheckReport) -> None:
    if not report.usable:
        return
    rate = detect_rate(report.usable)
    if rate.assumed:
        report.problems.append(Problem("assumed rate", f"{rate.fps:g} frames a second are {rate.reason}"))
    # Nothing that is found in degrees is found by mistake in radians.
    unit = (report.unit and report.unit.unit) or "degrees"
    of_mycobot = QUANTITIES.with_units([unit] * 6 + ["none"])
    for episode in report.usable:
        recorded = of_mycobot if episode.recording is None else episode.recording.quantities
        states, frames = episode.states, episode.packed.indices
        episode.problems.extend(motion_problems(states, recorded, episode.actions, frames))
        if rate.fps is not None:
            times = frame_times(episode, rate)
            report_holes(episode, times)
            stalls = stall_problems(states, recorded, episode.packed.stills, times.seconds, frames)
            episode.problems.extend(stalls)
        elif episode.name in rate.contradicting:
            episode.problems.append(Problem("unclear rate", rate.reason))


@dataclass(frozen=True)
class Move:
    """A folder or file that is to be moved aside."""

    source: Path
    destination: Path
    reason: str


def plan_clean(report: CheckReport, with_bad_frames: bool = False) -> list[Move]:
    """What moving the bad episodes aside comes to; nothing is moved yet.

    Args:
        report: of a scan of the folder.
        with_bad_frames: also move the episodes of which only some frames cannot be used.

    Returns:
        One move for every bad episode and every failure marker that lies beside one, into `_set_aside`.

    Raises:
        UserError: the scanned folder is itself a bad episode.
    """
    severities = ("episode", "frame") if with_bad_frames else ("episode",)
    markers = explore(report.data_dir).markers
    moves: list[Move] = []
    for episode in report.episodes:
        reason = next((problem for problem in episode.problems if problem.severity in severities), None)
        if reason is None:
            continue
        if episode.path == report.data_dir:
            raise UserError(f"{episode.path} is itself a bad episode: give the folder that holds it")
        moves.append(_move(episode.path, report.data_dir, str(reason), moves))
        for marker in markers:
            if marks(marker, episode.path) and marker not in {move.source for move in moves}:
                moves.append(_move(marker, report.data_dir, f"marks {episode.name}", moves))
    return moves


def _move(source: Path, data_dir: Path, reason: str, planned: list[Move]) -> Move:
    wanted = data_dir / SET_ASIDE_FOLDER / source.relative_to(data_dir)
    taken = {move.destination for move in planned}
    names = (wanted if n == 1 else wanted.with_name(f"{wanted.stem}_{n}{wanted.suffix}") for n in count(1))
    return Move(source, next(name for name in names if name not in taken and not name.exists()), reason)


def move_aside(moves: Sequence[Move]) -> None:
    """Carries the moves out. Nothing is deleted or overwritten.

    Raises:
        UserError: a move is not possible; those before it were made.
    """
    for move in moves:
        try:
            move.destination.parent.mkdir(parents=True, exist_ok=True)
            if move.destination.exists():
                raise FileExistsError(f"{move.destination} exists")
            move.source.rename(move.destination)
        except OSError as error:
            raise UserError(f"cannot move {move.source} to {move.destination}: {error}; clean again") from error
