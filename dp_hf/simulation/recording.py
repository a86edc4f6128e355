"""Records the expert's demonstrations as episode folders; goes on where an earlier run ended."""

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from dp_hf.arms.limits import SafetyLimits
from dp_hf.disturbances import Disturbances
from dp_hf.episodes.find import explore, find_demonstrations, find_episodes, find_failure
from dp_hf.episodes.format import unfinished
from dp_hf.episodes.writer import EpisodeWriter, repeatable_episode
from dp_hf.errors import UserError
from dp_hf.files import full_disk_named, locked, read_json, user_path
from dp_hf.simulation.environment import CONTROL_HZ, CubeStackingEnv
from dp_hf.simulation.expert import NoisePhases, StackingExpert
from dp_hf.simulation.layouts import DEMONSTRATIONS, layout_seeds
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.stacking import make_environment
from dp_hf.workers.workers import HERE, Workers

MAX_FAILURES = 10  # more than successes
ORIGIN_FILE = "simulation.json"
LIMITS = ("lowest", "highest", "velocity", "acceleration")


@dataclass(frozen=True)
class Settings:
    """How demonstrations are made.

    Attributes:
        noise: standard deviation of the expert's joint noise, degrees.
        noise_phases: when there is noise, see `StackingExpert`.
        environment: options of `CubeStackingEnv`; every disturbance is among them.
        limits: (7,) `lowest`, `highest`, `velocity` and `acceleration` that the expert keeps; None for its own pace.
    """

    noise: float
    noise_phases: NoisePhases
    environment: dict[str, Any]
    limits: dict[str, list[float]] | None = None

    def __post_init__(self) -> None:
        # An older recording lacks those that there were not: it was made without.
        object.__setattr__(self, "environment", {**Disturbances().options(), **self.environment})


@dataclass(frozen=True)
class Origin:
    """What a simulated episode can be replayed from; kept as `simulation.json` in its folder."""

    seed: int
    settings: Settings

    @classmethod
    def read(cls, episode: Path) -> "Origin":
        """Reads an episode's origin.

        Raises:
            UserError: the episode has none, or it is damaged.
        """
        path = episode / ORIGIN_FILE
        if not path.exists():
            raise UserError(f"{episode} was not recorded in the simulator: it has no {ORIGIN_FILE}")
        content = read_json(path)
        try:
            return cls(int(content["seed"]), Settings(**content["settings"]))
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path} is damaged ({error!r}): move the episode away") from error


@dataclass(frozen=True)
class RecordingReport:
    """Episodes in the folder when all was done, and how many more failed in this run."""

    num_episodes: int
    num_recorded: int
    num_failed: int


def record_demonstrations(
    data_dir: str | Path,
    num_episodes: int,
    first_seed: int = 0,
    noise: float = 0.0,
    noise_phases: NoisePhases = "all",
    environment: Mapping[str, Any] | None = None,
    workers: Workers = HERE,
    limits: SafetyLimits | None = None,
) -> RecordingReport:
    """Records until `data_dir` holds `num_episodes` demonstrations that succeeded.

    What an earlier run left counts, and seeds that it used are not used again.

    Args:
        data_dir: folder of episodes; made when absent.
        num_episodes: demonstrations wanted.
        first_seed: layouts are those of the seeds from here on.
        noise, noise_phases: see `StackingExpert`.
        environment: options of `CubeStackingEnv`.
        workers: where they run.
        limits: of an arm that is to be able to follow, see `StackingExpert`.

    Raises:
        UserError: the folder holds episodes of another kind, another process records into it, the seeds ran out, or
            the expert keeps failing.
    """
    kept = None if limits is None else {name: getattr(limits, name).tolist() for name in LIMITS}
    settings = Settings(noise, noise_phases, json.loads(json.dumps(dict(environment or {}))), kept)
    possible = layout_seeds(DEMONSTRATIONS, first_seed)
    data_dir = user_path(data_dir)
    with locked(data_dir):
        _remove_unfinished(data_dir)
        return _record(data_dir, num_episodes, possible, settings, workers)


def _record(
    data_dir: Path, num_episodes: int, possible: Sequence[int], settings: Settings, workers: Workers
) -> RecordingReport:
    used, num_done = _find_recorded(data_dir, settings)
    num_recorded, num_failed = record_layouts(
        partial(_Recorder, data_dir, settings), num_episodes - num_done, possible, used, workers
    )
    return RecordingReport(num_done + num_recorded, num_recorded, num_failed)


def record_layouts(
    setup: Callable[[], Callable[[int], bool]],
    num_wanted: int,
    possible: Sequence[int],
    used: Collection[int],
    workers: Workers,
) -> tuple[int, int]:
    """Records layouts until so many demonstrations have succeeded; returns how many did and how many did not.

    Args:
        setup: makes what records the demonstration of a seed and tells whether it succeeded, once in each process.
        possible: the seeds of layouts.
        used: those that are not to be taken again.

    Raises:
        UserError: the seeds ran out, or the expert keeps failing.
    """
    used = set(used)
    num_recorded = num_failed = 0
    while (num_missing := num_wanted - num_recorded) > 0:
        seeds = list(islice((seed for seed in possible if seed not in used), num_missing))
        if len(seeds) < num_missing:
            raise UserError(f"{num_missing} layouts are wanted, {len(seeds)} are left: give a smaller --layout_seed")
        used.update(seeds)
        for _, success in workers.as_finished(setup, seeds, "recording"):
            num_recorded += success
            num_failed += not success
        if num_failed > num_recorded + MAX_FAILURES:
            raise UserError(
                f"the expert failed {num_failed} times and succeeded {num_recorded} times: give less --noise, or see "
                "by `dp-hf evaluate --pipeline expert` whether it succeeds without"
            )
    return num_recorded, num_failed


def _remove_unfinished(data_dir: Path) -> None:
    """Removes what a recorder that was killed has begun here; its layouts are recorded anew."""
    for folder in explore(data_dir).unfinished:
        has_frames = any(path.is_dir() for path in folder.iterdir())
        if (folder / ORIGIN_FILE).exists() or not has_frames:
            shutil.rmtree(folder)


def _find_recorded(data_dir: Path, settings: Settings) -> tuple[set[int], int]:
    """The seeds that are used, and how many episodes succeeded."""
    episodes = find_episodes(data_dir)
    origins = [Origin.read(episode) for episode in episodes]
    for episode, origin in zip(episodes, origins, strict=True):
        if origin.settings != settings:
            raise UserError(
                f"{episode} was recorded with {asdict(origin.settings)}, not with {asdict(settings)}: "
                "give the same arguments or another --output_dir"
            )
    return {origin.seed for origin in origins}, len(find_demonstrations(data_dir))


def _limits_of(settings: Settings) -> SafetyLimits | None:
    if settings.limits is None:
        return None
    lowest, highest, velocity, acceleration = (settings.limits[name] for name in LIMITS)
    positions = {"recording": [*zip(lowest, highest, strict=True)]}
    return replace(CubeStackingEnv.arm.limits, positions=positions, velocity=velocity, acceleration=acceleration)


class _Recorder:
    """One process' share: records the demonstration of a seed and tells whether it succeeded."""

    def __init__(self, data_dir: Path, settings: Settings):
        self.data_dir = data_dir
        self.settings = settings
        self.env = make_environment(**settings.environment)
        self.expert = StackingExpert(self.env, settings.noise, settings.noise_phases, _limits_of(settings))

    def __call__(self, seed: int) -> bool:
        name = f"episode_{seed:07d}"
        if (finished := self.data_dir / name).exists():  # by a worker that died before it could say so
            return find_failure(finished) is None
        with repeatable_episode(self.data_dir, name) as writer:
            return self._record(seed, writer)

    def _record(self, seed: int, writer: EpisodeWriter) -> bool:
        folder = unfinished(writer.path)  # so that no finished episode lacks it
        origin = json.dumps(asdict(Origin(seed, self.settings)), indent=1)
        with full_disk_named(writer.path / ORIGIN_FILE):
            (folder / ORIGIN_FILE).write_text(origin, encoding="utf-8")

        def add_frame(image, state, action):
            writer.add_frame(image, state, action, timestamp=writer.num_frames / CONTROL_HZ)

        result = rollout(self.env, self.expert, seed, execute=self.expert.add_noise, on_step=add_frame)
        if not result.success:
            writer.fail(f"not stacked after {result.length} steps")
        return result.success
