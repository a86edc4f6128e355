"""Two evaluations that are done: whether they are of the same task, scenes and layouts, and what they reached."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp_hf.disturbances import NOMINAL, Disturbances, scenes_called
from dp_hf.errors import UserError
from dp_hf.files import read_json

RESULTS, TABLE_OF_SCENES = "results.json", "disturbances.json"


@dataclass(frozen=True)
class Evaluated:
    """An evaluation's folder.

    Attributes:
        folder: as the user gave it.
        pipeline: the policy as it was called there.
        digest: the policy's.
        task: name and origin.
        settings: by scene, what was disturbed there, and how much.
        rollouts: by scene, layouts' seeds and stages.
    """

    folder: str
    pipeline: str
    digest: str
    task: tuple[str, str]
    settings: dict[str, dict[str, Any]]
    rollouts: dict[str, list[dict[str, Any]]]

    def seeds(self, scene: str) -> list[int]:
        return [rollout["seed"] for rollout in self.rollouts[scene]]

    def stages(self, scene: str) -> list[dict[str, bool]]:
        return [
            {name: value for name, value in rollout.items() if name not in ("seed", "length")}
            for rollout in self.rollouts[scene]
        ]


def is_evaluation(place: str) -> bool:
    """Whether it is a folder that `dp-hf evaluate` has written."""
    return (Path(place) / RESULTS).is_file()


def read_evaluation(folder: str, disturbances: tuple[str, ...] | None = None) -> Evaluated:
    """What an evaluation's folder holds: of its scene, or of those of the table that have such names in it.

    Raises:
        UserError: it is damaged, or has none of these scenes.
    """
    file = Path(folder) / (RESULTS if disturbances is None else TABLE_OF_SCENES)
    content = read_json(file)
    try:
        arguments = content["arguments"]
        if disturbances is None:
            defaults = Disturbances().options()
            options = {name: arguments.get(name, default) for name, default in defaults.items()}
            scenes = {NOMINAL: {"disturbances": Disturbances(**options).given(), **content}}
        else:
            scenes = {
                name: content["scenes"][name] for name in scenes_called(disturbances) if name in content["scenes"]
            }
        found = Evaluated(
            folder,
            str(arguments["pipeline"]),
            content["policy"],
            (content["task"], content["task_origin"]) if disturbances is None else ("cube_stacking", ""),
            {name: scene["disturbances"] for name, scene in scenes.items()},
            {name: scene["episodes"] for name, scene in scenes.items()},
        )
        empty = not all(found.seeds(scene) and found.stages(scene)[0] for scene in scenes)
        if not all(type(text) is str for text in (*found.task, found.digest)):
            raise TypeError(f"a task {found.task} and a policy {found.digest!r}")
        for scene in scenes:
            _require_like_the_first(found.seeds(scene), found.stages(scene))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{file}: not the results of `dp-hf evaluate` ({error!r}): evaluate again") from error
    if not scenes or empty:
        raise UserError(f"{file}: holds no rollouts to compare: evaluate again")
    return found


def _require_like_the_first(seeds: list[Any], stages: list[dict[str, Any]]) -> None:
    for seed, reached in zip(seeds, stages, strict=True):
        if (
            type(seed) is not int
            or [*reached] != [*stages[0]]
            or not all(type(value) is bool for value in reached.values())
        ):
            raise TypeError(f"a rollout on layout {seed} with {reached}")


def require_comparable(a: Evaluated, b: Evaluated) -> None:
    """Raises `UserError` unless both evaluations are of the same task, scenes, layouts and stages."""
    for what, of_a, of_b in (
        ("task", " ".join(a.task), " ".join(b.task)),
        ("scenes", _in_words(a.settings), _in_words(b.settings)),
    ):
        if of_a != of_b:
            raise UserError(f"{a.folder} and {b.folder} are of different {what}, {of_a} and {of_b}: evaluate one anew")
    for scene in a.rollouts:
        one, other = a.seeds(scene), b.seeds(scene)
        if one != other:
            raise UserError(
                f"{a.folder} and {b.folder} are of different layouts ({len(one)} from {one[0]}, {len(other)} from "
                f"{other[0]}): evaluate one anew with the --num_episodes and --layout_seed of the other"
            )
        if [*a.stages(scene)[0]] != [*b.stages(scene)[0]]:
            raise UserError(f"{a.folder} and {b.folder} are of different stages of the task: evaluate one anew")


def _in_words(settings: dict[str, dict[str, Any]]) -> str:
    return "; ".join(f"{name} {options}" if options else name for name, options in settings.items())
