"""`dp-hf compare`: which of two policies succeeds more often, on the same layouts with the same noise."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.rollout_arguments import RolloutArguments
from dp_hf.disturbances import NOMINAL, TABLE, scenes_called
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, locked

if TYPE_CHECKING:
    from dp_hf.simulation.kept_rollouts import Done
    from dp_hf.success.comparison import Comparison


@dataclass(kw_only=True)
class Compare(RolloutArguments):
    """Compare two policies: on the same layouts, with the same noise, layout by layout.

    Writes comparison.json to OUTPUT_DIR, and prints for each stage of the task how often both got there and the
    difference with its 95 % interval; of the success also the exact McNemar test, the evidence that may be looked at
    after every pair, and about how many more pairs would decide. Goes on where it was cut off.
    """

    a: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="A")]]
    """pipeline folder or Hub repository, "expert", or the output folder of an evaluation"""
    b: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="B")]]
    """the other; an evaluation's folder is compared with another one's, and nothing is run"""
    disturbances: tuple[str, ...] | None = None
    """in the scenes of the table of disturbances too, each by itself; followed by parts of their names, such as
    `camera light`, only those"""
    stop_early: bool = False
    """run no more as soon as one of them is better beyond doubt: the evidence is 20 to 1, which between equal policies
    happens in at most 5 % of the comparisons"""
    score_sheet: bool = False
    """two pipeline folders on a real arm: says which policy runs next, by the blind names 1 and 2 and in random order,
    and takes a key for how it went; --num_episodes are pairs"""
    stages: tuple[str, ...] = ("success",)
    """with --score_sheet: what a run can reach, in order; the last one is the success"""
    reveal: bool = False
    """with --score_sheet: end it, say which policy was which, and compare"""
    output_dir: Path = Path("outputs/comparison")
    """where comparison.json goes, and rollouts.jsonl or score_sheet.jsonl with every rollout as it ends"""

    def require_own_sheet(self) -> None:
        """Refuses options of simulated rollouts beside a score sheet."""
        given = [name for name in self.rollout_options_given() if name != "num_episodes"]
        given += ["disturbances"] if self.disturbances is not None else []
        given += ["stop_early"] if self.stop_early else []
        if given:
            raise UserError(f"--score_sheet runs nothing itself: leave --{' and --'.join(given)} out")


def main(argv: list[str] | None = None) -> int:
    return run(compare, parse(Compare, argv, "dp-hf compare"))


def compare(arguments: Compare) -> None:
    if arguments.score_sheet:
        arguments.require_own_sheet()
        from dp_hf.cli.score_sheet import keep_score

        with locked(arguments.output_dir):
            return keep_score(arguments)
    if arguments.reveal or arguments.stages != Compare.stages:
        raise UserError("--stages and --reveal are those of a score sheet: give --score_sheet too, or leave them out")
    from dp_hf.success.finished import is_evaluation

    evaluations = [place for place in (arguments.a, arguments.b) if is_evaluation(place)]
    if len(evaluations) == 1:
        raise UserError(
            f"{evaluations[0]} is an evaluation's folder, and the other is none: give two of them, or two pipelines"
        )
    arguments.require_own_scene(() if arguments.disturbances is None else ("disturbances",))
    with locked(arguments.output_dir):
        if evaluations:
            _compare_evaluations(arguments)
        else:
            _compare_pipelines(arguments)


def _compare_evaluations(arguments: Compare) -> None:
    from dp_hf.success.comparison import Comparison
    from dp_hf.success.finished import read_evaluation, require_comparable

    if given := [*arguments.rollout_options_given(), *(["stop_early"] if arguments.stop_early else [])]:
        raise UserError(f"nothing is run to compare evaluations: leave --{' and --'.join(given)} out")
    a, b = (read_evaluation(folder, arguments.disturbances) for folder in (arguments.a, arguments.b))
    require_comparable(a, b)
    policies = {name: {"pipeline": of.pipeline, "policy": of.digest} for name, of in (("A", a), ("B", b))}
    scenes = {scene: Comparison.of(a.stages(scene), b.stages(scene)) for scene in a.rollouts}
    write_comparison(arguments.output_dir, policies, {"task": a.task[0], "task_origin": a.task[1]}, scenes)


def _compare_pipelines(arguments: Compare) -> None:
    if arguments.stop_early and arguments.disturbances is not None:
        raise UserError("--stop_early is for one scene: each scene of --disturbances would end at another layout")
    chosen = [NOMINAL] if arguments.disturbances is None else scenes_called(arguments.disturbances)
    from dp_hf.simulation.kept_rollouts import Episode, run_kept
    from dp_hf.success.betting import is_decided
    from dp_hf.success.comparison import Comparison
    from dp_hf.success.paired import Pairs

    workers = arguments.workers()
    task = arguments.task()
    places = {"A": arguments.a, "B": arguments.b}
    policies = {name: arguments.policy(task, place) for name, place in places.items()}
    digests = {name: policy.digest for name, policy in policies.items()}
    if digests["A"] == digests["B"]:
        raise UserError(f"{arguments.a} and {arguments.b} are the same policy: they have nothing to differ in")
    of_table = arguments.task_file is None
    scenes = {scene: TABLE[scene].options() if of_table else {} for scene in chosen}
    identity = {
        **digests,
        **{"task": task.name, "task_origin": task.origin, **arguments.execution()},
        "cameras": {name: list(policy.cameras) for name, policy in policies.items()},
        "scenes": {scene: TABLE[scene].given() for scene in TABLE if of_table},
    }

    def pairs_of(scene: str, done: "Done") -> list[list[dict[str, bool]]]:
        """Stages of A and of B on each layout, up to the first that one of them lacks: who ends sooner has no say."""
        pairs = []
        for seed in arguments.seeds():
            pair = [done.get(Episode(name, scene, seed)) for name in places]
            if None in pair:
                break
            pairs.append([result.stages for result in pair if result])
        return pairs

    def is_enough(pairs: list[list[dict[str, bool]]]) -> bool:
        successes = [[[*stages.values()][-1] for stages in pair] for pair in pairs]
        return bool(successes) and is_decided(Pairs.of(*zip(*successes, strict=True)))

    def up_to_enough(pairs: list[list[dict[str, bool]]]) -> list[list[dict[str, bool]]]:
        """Without the layouts after: how many were under way depends on the workers."""
        ends = range(1, len(pairs) + 1) if arguments.stop_early else []
        return next((pairs[:end] for end in ends if is_enough(pairs[:end])), pairs)

    done = run_kept(
        task,
        {name: (policy.make, policy.cameras) for name, policy in policies.items()},
        scenes,
        arguments.seeds(),
        arguments.output_dir / "rollouts.jsonl",
        identity,
        workers,
        lambda done: arguments.stop_early and is_enough(pairs_of(NOMINAL, done)),
    )
    write_comparison(
        arguments.output_dir,
        {name: {"pipeline": place, "policy": digests[name]} for name, place in places.items()},
        {"task": task.name, "task_origin": task.origin},
        {scene: Comparison.of(*zip(*up_to_enough(pairs_of(scene, done)), strict=True)) for scene in chosen},
    )


def write_comparison(
    output_dir: Path,
    policies: Mapping[str, Mapping[str, str]],
    task: Mapping[str, str],
    scenes: "Mapping[str, Comparison]",
) -> None:
    """Prints the comparisons, and writes them to comparison.json."""
    for name, policy in policies.items():
        print(f"{name}: {policy['pipeline']}")
    for scene, comparison in scenes.items():
        print(f"\n{scene}" if len(scenes) > 1 else "")
        print(comparison)
    content: dict[str, Any] = {"policies": policies, **task}
    content["scenes"] = {scene: comparison.to_dict() for scene, comparison in scenes.items()}
    path = output_dir / "comparison.json"
    with file_written_beside(path) as file:
        file.write_text(json.dumps(content, indent=2), encoding="utf-8")
    print(f"\nresults: {path}")
