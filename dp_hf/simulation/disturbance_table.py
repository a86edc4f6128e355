"""Rollouts of a policy in each scene of the table of disturbances, kept in a file as they end."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium

from dp_hf.disturbances import TABLE
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside
from dp_hf.simulation.evaluation import Evaluation
from dp_hf.simulation.parallel import map_in_processes
from dp_hf.simulation.rollouts import RolloutResult, rollout
from dp_hf.simulation.stacking import make_environment
from dp_hf.simulation.task import MakePolicy

Episode = tuple[str, int]  # scene, seed


def run_table(
    make_policy: MakePolicy,
    scenes: Iterable[str],
    seeds: Sequence[int],
    cameras: Sequence[str],
    file: Path,
    identity: Mapping[str, Any],
    num_workers: int = 1,
) -> dict[str, list[RolloutResult]]:
    """Runs an episode for each scene and seed that `file` does not hold yet.

    Args:
        make_policy: as in `run_rollouts`.
        scenes: keys of `TABLE`.
        seeds: of the layouts, the same in every scene.
        cameras: of the environment.
        file: JSON lines, the identity and then a rollout each; goes on where an earlier run ended.
        identity: what the rollouts depend on besides, such as the policy; JSON.
        num_workers: processes.

    Returns:
        For each scene that has them all by now, whichever run they are from, the results in the order of the seeds.

    Raises:
        UserError: `file` holds rollouts of another identity, or is damaged.
    """
    strengths = {scene: disturbances.given() for scene, disturbances in TABLE.items()}
    done = _read(file, json.loads(json.dumps({**identity, "cameras": list(cameras), "scenes": strengths})))
    missing = [(scene, seed) for scene in scenes for seed in seeds if (scene, seed) not in done]
    setup = partial(_SceneRollouts, make_policy, tuple(cameras))
    with open(file, "a", encoding="utf-8") as lines:
        for scene, result in map_in_processes(setup, missing, num_workers, "evaluating"):
            done[scene, result.seed] = result
            lines.write(json.dumps({"scene": scene, **asdict(result)}) + "\n")
            lines.flush()
    complete = [scene for scene in TABLE if all((scene, seed) in done for seed in seeds)]
    return {scene: [done[scene, seed] for seed in seeds] for scene in complete}


def format_table(evaluations: Mapping[str, Evaluation]) -> str:
    """A line for each scene: how often the policy succeeded there, with the 95 % interval."""
    width = max(map(len, evaluations))
    return "\n".join(f"{scene:<{width}}  {evaluation.success}" for scene, evaluation in evaluations.items())


def _read(file: Path, identity: dict[str, Any]) -> dict[Episode, RolloutResult]:
    """The file's rollouts; a new file begins with the identity, and half a line of a killed run is cut off."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    if not lines or not lines[-1].endswith("\n"):
        lines = lines[:-1] or [json.dumps(identity) + "\n"]
        with file_written_beside(file) as new:
            new.write_text("".join(lines), encoding="utf-8")
    remedy = "give another --output_dir, or remove that file"
    try:
        found, *records = map(json.loads, lines)
        done = {(record.pop("scene"), record["seed"]): RolloutResult(**record) for record in records}
        differing = [name for name in {**found, **identity} if found.get(name) != identity.get(name)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file} is damaged ({error!r}): {remedy}") from error
    if differing:
        raise UserError(f"{file} holds rollouts with another {', '.join(differing)}: {remedy}")
    return done


class _SceneRollouts:
    """One process' share: an environment for as long as the scene is the same."""

    def __init__(self, make_policy: MakePolicy, cameras: tuple[str, ...]):
        self.make_policy = make_policy
        self.cameras = cameras
        self.scene: str | None = None
        self.env: gymnasium.Env

    def __call__(self, episode: Episode) -> tuple[str, RolloutResult]:
        scene, seed = episode
        if scene != self.scene:
            if self.scene is not None:
                self.env.close()
            self.env, self.scene = make_environment(cameras=self.cameras, **TABLE[scene].options()), scene
        return scene, rollout(self.env, self.make_policy(self.env, seed), seed)
