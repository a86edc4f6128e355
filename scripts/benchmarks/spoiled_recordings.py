"""Spoils simulated recordings on purpose, and measures whether `dp-hf check-episodes score` finds them.

python scripts/benchmarks/spoiled_recordings.py --data_dir demonstrations --output_dir spoiled
python scripts/benchmarks/spoiled_recordings.py --data_dir demonstrations --output_dir spoiled --mixed to_train_on

The first prints a JSON line for each kind. The second makes a folder for `dp-hf train`, in which ten recordings are
spoiled, and beside it one without the ten that the score ranks first. The recordings in --data_dir are read and never
changed. Detours and other goals are new demonstrations of the same layouts, by an expert that moves and ends so; the
other kinds are the recording itself with its frames changed.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from dp_hf.cli.arguments import parse, run
from dp_hf.episodes.find import find_demonstrations, find_episodes
from dp_hf.episodes.reader import read_episode
from dp_hf.episodes.writer import EpisodeWriter
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside
from dp_hf.review.ranking import rank
from dp_hf.review.tracks import Track, read_tracks
from dp_hf.simulation.expert import MAX_STEP, StackingExpert
from dp_hf.simulation.recording import ORIGIN_FILE, Origin
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.stacking import make_environment

LATE = 3  # frames


class Row(NamedTuple):
    """A recorded frame: uint8 (H, W, 3), and seven numbers each."""

    picture: np.ndarray
    state: np.ndarray
    action: np.ndarray


Rows = list[Row]


@dataclass(kw_only=True)
class SpoiledRecordings:
    """Spoils demonstrations of the simulated expert, each in one way, and measures whether the score finds them.

    For each kind sets are drawn in which a tenth of the episodes are spoiled, and for "mixed" the kinds in turns.
    Precision is the share of spoiled ones among as many as there are, ranked first.
    """

    data_dir: Path
    """demonstrations of the simulated expert, as `dp-hf record-demonstrations` makes them"""
    output_dir: Path
    """a folder of spoiled episodes for each kind; what is there already is taken as it is"""
    spoiled_each: int = 20
    """episodes that are spoiled in each way, from the first on"""
    set_size: int = 50
    """episodes of a set"""
    draws: int = 10
    """sets that are drawn for each kind"""
    mixed: Path | None = None
    """make this folder, and none is measured: all demonstrations, of which ten are spoiled; WITHOUT lies beside it"""


def main() -> int:
    return run(benchmark, parse(SpoiledRecordings, None, "spoiled_recordings.py"))


def benchmark(arguments: SpoiledRecordings) -> None:
    make_all(arguments.data_dir, arguments.output_dir, arguments.spoiled_each)
    if arguments.mixed is not None:
        return make_mixed(arguments.data_dir, arguments.output_dir, arguments.mixed)
    good, _, _ = read_tracks(arguments.data_dir)
    spoiled = {kind: {track.name: track for track in read_tracks(arguments.output_dir / kind)[0]} for kind in KINDS}
    number = max(1, arguments.set_size // 10)
    rows = {kind: [kind] * number for kind in KINDS}
    rows["mixed"] = [[*KINDS][at % len(KINDS)] for at in range(number)]
    for row, kinds in rows.items():
        found, marked, reasons, wrongly = 0, 0, Counter[str](), 0
        for draw in tqdm(range(arguments.draws), row, leave=False):
            tracks, bad = draw_set(good, spoiled, kinds, arguments.set_size, np.random.default_rng(draw))
            ranked = rank(tracks)
            of_bad = [each for each in ranked if any(each.track.name in names for names in bad)]
            found += sum(each in of_bad for each in ranked[:number])
            marked += sum(any(each.suspect and each.track.name in names for each in of_bad) for names in bad)
            reasons.update(each.suspect[0].partition(" ")[0] for each in of_bad if each.suspect)
            wrongly += sum(bool(each.suspect) for each in ranked if each not in of_bad)
        count = number * arguments.draws
        line = {
            "spoiled": row,
            "data": arguments.data_dir.name,
            "sets": arguments.draws,
            "episodes": arguments.set_size,
            "spoiled in each": number,
            "precision": round(found / count, 3),
            "suspect": round(marked / count, 3),
            "wrongly suspect in a set": round(wrongly / arguments.draws, 2),
            "by": dict(reasons.most_common(3)),
        }
        print(json.dumps(line), flush=True)


def draw_set(
    good: list[Track], spoiled: dict[str, dict[str, Track]], kinds: list[str], size: int, rng: np.random.Generator
) -> tuple[list[Track], list[set[str]]]:
    """Episodes of a set, and for each that is spoiled its name, for a copy also that of the original."""
    possible = [track for track in good if track.name in spoiled[kinds[0]]]
    chosen = [possible[at] for at in rng.permutation(len(possible))[: len(kinds)]]
    tracks, bad = [], []
    for kind, track in zip(kinds, chosen, strict=True):
        if kind == COPIES:
            tracks += [track, replace(spoiled[kind][track.name], name=f"{track.name} again")]
            bad.append({tracks[-1].name, track.name})
        else:
            tracks.append(spoiled[kind][track.name])
            bad.append({track.name})
    rest = [track for track in good if all(track is not each for each in chosen)]
    tracks += [rest[at] for at in rng.permutation(len(rest))[: size - len(tracks)]]
    return [tracks[at] for at in rng.permutation(len(tracks))], bad


def make_all(data_dir: Path, output_dir: Path, count: int) -> None:
    """Fills `output_dir/KIND` with the first `count` episodes spoiled; what is there already stays."""
    paths = find_demonstrations(data_dir)
    if len(paths) < count:
        raise UserError(f"{data_dir} holds {len(paths)} episodes, fewer than --spoiled_each {count}")
    for kind, spoil in KINDS.items():
        for number, path in enumerate(tqdm(paths[:count], kind, leave=False)):
            if not (output_dir / kind / path.name).exists():
                write(output_dir / kind, path, spoil(path, np.random.default_rng(number)))


def make_mixed(data_dir: Path, spoiled: Path, target: Path) -> None:
    """Copies all demonstrations into `target`, ten of them spoiled, and all but the ten worst of these beside it."""
    harmful = [kind for kind in KINDS if kind != COPIES]
    paths = find_demonstrations(data_dir)
    names = [path.name for path in find_episodes(spoiled / harmful[0])][:10]
    kinds = {name: harmful[at % len(harmful)] for at, name in enumerate(names)}
    with folder_written_beside(target) as folder:
        for path in paths:
            shutil.copytree(spoiled / kinds[path.name] / path.name if path.name in kinds else path, folder / path.name)
    worst = {each.track.name for each in rank(read_tracks(target)[0])[:10]}
    without = target.with_name(f"{target.name}_without_the_ten_worst")
    with folder_written_beside(without) as folder:
        for path in find_episodes(target):
            if path.name not in worst:
                shutil.copytree(path, folder / path.name)
    print(json.dumps({"spoiled": kinds, "found": sorted(worst & {*kinds}), "without": str(without)}))


def write(folder: Path, original: Path, rows: Rows) -> None:
    with EpisodeWriter(folder, name=original.name) as writer:
        for number, row in enumerate(rows):
            writer.add_frame(row.picture, row.state, row.action, timestamp=number / 10)
    shutil.copyfile(original / ORIGIN_FILE, folder / original.name / ORIGIN_FILE)


def read(path: Path) -> Rows:
    episode = read_episode(path)
    assert episode.actions is not None
    pictures = [np.asarray(Image.open(frame.images["image"]).convert("RGB")) for frame in episode.frames]
    return [Row(*parts) for parts in zip(pictures, episode.states, episode.actions, strict=True)]


def with_pauses(path: Path, rng: np.random.Generator) -> Rows:
    """Three times the arm stands still for 0.8 to 1.5 s, its readings trembling by 0.05 degrees."""
    rows = read(path)
    for at in sorted(rng.integers(5, len(rows) - 5, 3), reverse=True):
        here = rows[at]
        still = [
            Row(here.picture, here.state + np.r_[rng.normal(0, 0.05, 6), 0], np.r_[here.state[:6], here.action[6]])
            for _ in range(rng.integers(8, 16))
        ]
        rows[at:at] = still
    return rows


def with_late_images(path: Path, rng: np.random.Generator) -> Rows:
    """Every picture is that of three frames before."""
    rows = read(path)
    return [row._replace(picture=rows[max(0, at - LATE)].picture) for at, row in enumerate(rows)]


def with_idle_ends(path: Path, rng: np.random.Generator) -> Rows:
    """Nothing happens for 2 to 4 s before and after."""
    rows = read(path)
    first, last = (each._replace(action=np.r_[each.state[:6], each.action[6]]) for each in (rows[0], rows[-1]))
    before, after = rng.integers(20, 41, 2)
    return [first] * before + rows + [last] * after


def twice_as_fast(path: Path, rng: np.random.Generator) -> Rows:
    """Every second frame, as if they were as far apart as all are."""
    return read(path)[::2]


def copied(path: Path, rng: np.random.Generator) -> Rows:
    """The same with readings that tremble by 0.05 degrees."""
    return [row._replace(state=row.state + np.r_[rng.normal(0, 0.05, 6), 0]) for row in read(path)]


def with_turned_gripper(path: Path, rng: np.random.Generator) -> Rows:
    """Closed is written as open, and open as closed."""
    return [
        row._replace(state=np.r_[row.state[:6], 100 - row.state[6]], action=np.r_[row.action[:6], 100 - row.action[6]])
        for row in read(path)
    ]


def with_stuck_gripper(path: Path, rng: np.random.Generator) -> Rows:
    """The gripper's reading and command stay at their first values."""
    rows = read(path)
    state, action = rows[0].state[6], rows[0].action[6]
    return [row._replace(state=np.r_[row.state[:6], state], action=np.r_[row.action[:6], action]) for row in rows]


class ClumsyExpert(StackingExpert):
    """Goes 3 to 6 cm astray three times, on the way to the cube and with it, before it goes on."""

    def __init__(self, env, noise: float, rng: np.random.Generator):
        super().__init__(env, noise)
        self.rng = rng

    def reset(self) -> None:
        super().reset()
        self.steps, self.astray = 0, np.zeros(3)
        self.starts = {5: 0, 12: 0, 30: 0}

    def _approach(self, goal: np.ndarray, yaw: float) -> None:
        self.steps += 1
        if self.steps in self.starts:
            angle, length = self.rng.uniform(0, 2 * np.pi), self.rng.uniform(0.03, 0.06)
            self.goal_astray = self.position + np.array([length * np.cos(angle), length * np.sin(angle), 0.03])
            self.until = self.steps + 6
        if self.steps < getattr(self, "until", 0):
            step = self.goal_astray - self.position
            distance = np.linalg.norm(step)
            self.position += step * min(1.0, MAX_STEP / max(distance, 1e-9))
        else:
            super()._approach(goal, yaw)


class OtherGoalExpert(StackingExpert):
    """Sets the cube down on the table, 5 cm beside the other one."""

    def __init__(self, env, noise: float, rng: np.random.Generator):
        super().__init__(env, noise)
        self.side = rng.choice([-1.0, 1.0])

    def _place_goal(self) -> np.ndarray:
        return self.env.orange.xpos + [-0.02, 0.05 * self.side, 0.001] + self.offset

    def _choose_phase(self) -> None:
        if self.phase == "place" and np.linalg.norm(self.position - self._place_goal()) < 0.001:
            self.phase = "open"
        else:
            super()._choose_phase()


def with_detours(path: Path, rng: np.random.Generator) -> Rows:
    return _recorded(path, ClumsyExpert, rng, 200)


def with_other_goal(path: Path, rng: np.random.Generator) -> Rows:
    # The rollout goes on until its time is over, for nothing is stacked; a person stops when the arm is up again.
    return _recorded(path, OtherGoalExpert, rng, 12)


def _recorded(path: Path, expert: Callable, rng: np.random.Generator, after_release: int) -> Rows:
    origin = Origin.read(path)
    env = make_environment(**origin.settings.environment)
    driver = expert(env, origin.settings.noise, rng)
    rows: Rows = []
    up: list[int] = []

    def add(image, state, action) -> None:
        rows.append(Row(np.array(image), state, action))
        if driver.phase == "retreat":
            up.append(len(rows))

    rollout(env, driver, origin.seed, execute=driver.add_noise, on_step=add)
    env.close()
    return rows[: up[0] + after_release] if up else rows


COPIES = "copies"
KINDS = {
    "idle ends": with_idle_ends,
    "pauses": with_pauses,
    "late images": with_late_images,
    "turned gripper": with_turned_gripper,
    "stuck gripper": with_stuck_gripper,
    "detours": with_detours,
    "other goal": with_other_goal,
    "twice as fast": twice_as_fast,
    COPIES: copied,
}


if __name__ == "__main__":
    sys.exit(main())
