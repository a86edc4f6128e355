"""`dp-hf evaluate`: measure closed-loop success in the simulator, or replay recorded demonstrations."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.environment_arguments import EnvironmentArguments
from dp_hf.cli.rollout_arguments import RolloutArguments
from dp_hf.disturbances import NOMINAL, TABLE, scenes_called
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, locked
from dp_hf.ranges import Range

if TYPE_CHECKING:
    from dp_hf.simulation.recorded_rollouts import RolloutFolder
    from dp_hf.simulation.rollouts import RolloutResult
    from dp_hf.simulation.task import Task
    from dp_hf.workers.workers import Workers

OLD_NAMES = {"episodes": "num_episodes", "seed": "layout_seed", "cameras": "camera_names"}
REPLAY_TARGET = 0.95
UNFINISHED = "unfinished.jsonl"
EPISODES = "episodes"


@dataclass(kw_only=True)
class Evaluate(RolloutArguments, EnvironmentArguments):
    """Measure how often a pipeline succeeds, in stacking cubes or in another task, on layouts that were never recorded.

    Writes results.json and a video of rollouts side by side to OUTPUT_DIR, and prints the success of each stage with
    its 95 % Wilson interval; goes on where it was cut off. With --disturbances results.json is of the nominal scene,
    disturbances.json holds the table and disturbances.png shows the scenes. Exit code of --replay: 1 if fewer than 95 %
    succeed.
    """

    pipeline: str | None = None
    """pipeline folder or Hub repository, or "expert" for the expert that records the demonstrations"""
    disturbances: tuple[str, ...] | None = None
    """in place of one scene, one table of many: the nominal scene, one for each disturbance, and all of them together;
    followed by parts of their names, such as `camera light`, only those; no video"""
    replay: Path | None = None
    """folder of simulated episodes, with --task_file the dataset of its demonstrations: execute their recorded actions
    again, open loop, in place of a pipeline"""
    output_dir: Path = Path("outputs/evaluation")
    """where results.json and the video go"""
    num_episodes: Annotated[int, Range(1)] = 100
    """rollouts; with --replay the most that are replayed"""
    video: Annotated[int, Range(0)] = 8
    """rollouts shown in the video; 0 makes none"""
    record: bool = False
    """keep every rollout as an episode in OUTPUT_DIR/episodes, with what the policy planned, for `dp-hf view`; one that
    did not succeed is marked as failed"""
    video_format: Literal["mp4", "gif"] = "mp4"
    """format of the video"""


def main(argv: list[str] | None = None) -> int:
    return run(evaluate, parse(Evaluate, argv, "dp-hf evaluate", old_names=OLD_NAMES))


def evaluate(arguments: Evaluate) -> int:
    if (arguments.pipeline is None) == (arguments.replay is None):
        raise UserError("give either --pipeline (a folder, a Hub repository or 'expert') or --replay")
    disturbed = arguments.disturbances is not None
    arguments.require_own_scene(("disturbances",) if disturbed else ())
    # Before the rollouts, so that these are not lost to a folder that cannot be written to, or to another evaluation.
    with locked(arguments.output_dir):
        if arguments.pipeline is not None:
            if arguments.disturbances is not None:
                return _evaluate_disturbed(arguments, arguments.pipeline, arguments.disturbances)
            return _evaluate(arguments, arguments.pipeline)
        assert arguments.replay is not None
        if given := [*arguments.given(), *(["disturbances"] if disturbed else [])]:
            raise UserError(f"--replay takes the scene from the recording: leave --{' and --'.join(given)} out")
        return _replay(arguments, arguments.replay)


def _evaluate(arguments: Evaluate, pipeline: str) -> int:
    from dp_hf.simulation.kept_rollouts import Episode, run_kept

    workers, video = _workers(arguments), arguments.video
    task = arguments.task()
    seeds = arguments.seeds()
    policy = arguments.policy(task, pipeline)
    scene = arguments.options() if arguments.task_file is None else {}
    of_task = {"task": task.name, "task_origin": task.origin, "cameras": list(policy.cameras), "scene": scene}
    identity = {**policy.identity, **of_task, **arguments.execution()}
    unfinished = arguments.output_dir / UNFINISHED
    policies = {"": (policy.make, policy.cameras)}
    record = _rollout_folder(arguments, task)
    if record is not None and record.folder.exists() and not unfinished.exists():
        raise UserError(f"{record.folder} holds rollouts of an earlier evaluation: give another --output_dir")
    done = run_kept(task, policies, {"": scene}, seeds, unfinished, identity, workers, num_videos=video, record=record)
    results = [done[Episode("", "", seed)] for seed in seeds]
    _write_results(arguments, task, results, policy.digest)
    if arguments.video:
        from dp_hf.simulation.video import write_grid

        path = arguments.output_dir / f"rollouts.{arguments.video_format}"
        write_grid(results, path, task.fps)
        print(f"video: {path}")
    unfinished.unlink()
    return 0


def _evaluate_disturbed(arguments: Evaluate, pipeline: str, parts: tuple[str, ...]) -> int:
    if given := arguments.given():
        raise UserError(f"--disturbances chooses the scenes itself: leave --{' and --'.join(given)} out")
    scenes = scenes_called(parts)
    from dp_hf.simulation.disturbance_table import format_table, run_table
    from dp_hf.simulation.evaluation import summarize
    from dp_hf.simulation.sheet import write_sheet

    workers = _workers(arguments)
    task = arguments.task()
    seeds = arguments.seeds()
    policy = arguments.policy(task, pipeline)
    identity = {**policy.identity, **arguments.execution()}
    file = arguments.output_dir / "disturbances.jsonl"
    record = _rollout_folder(arguments, task)
    results = run_table(policy.make, scenes, seeds, policy.cameras, file, identity, workers, record)
    evaluations = {scene: summarize(rollouts) for scene, rollouts in results.items()}
    if NOMINAL in results:
        _write_results(arguments, task, results[NOMINAL], policy.digest)
    print(format_table(evaluations))
    _write_json(
        arguments.output_dir / "disturbances.json",
        {
            "arguments": asdict(arguments),
            "policy": policy.digest,
            "scenes": {
                scene: {"disturbances": TABLE[scene].given(), **evaluation.to_dict()}
                for scene, evaluation in evaluations.items()
            },
        },
    )
    write_sheet(arguments.output_dir / "disturbances.png", seeds[:3], policy.cameras[0], results)
    print(f"what the camera saw: {arguments.output_dir / 'disturbances.png'}")
    return 0


def _workers(arguments: Evaluate) -> "Workers":
    return arguments.workers(writes=[arguments.output_dir] if arguments.record else [])


def _rollout_folder(arguments: Evaluate, task: "Task") -> "RolloutFolder | None":
    from dp_hf.simulation.recorded_rollouts import RolloutFolder

    return RolloutFolder(arguments.output_dir / EPISODES, task) if arguments.record else None


def _replay(arguments: Evaluate, data_dir: Path) -> int:
    if arguments.record:
        raise UserError("--record is for a --pipeline: what is replayed was recorded before; leave it out")
    task = arguments.task()
    if arguments.task_file is not None:
        from dp_hf.tasks.replay import replay_dataset

        results = replay_dataset(task, data_dir, arguments.num_episodes, arguments.workers([data_dir]))
    else:
        from dp_hf.simulation.replay import replay_episodes

        results = replay_episodes(data_dir, arguments.num_episodes, arguments.workers([data_dir]))
    _write_results(arguments, task, results, "replay")
    return 0 if sum(result.success for result in results) >= REPLAY_TARGET * len(results) else 1


def _write_results(arguments: Evaluate, task: "Task", results: "list[RolloutResult]", policy: str) -> None:
    from dp_hf.simulation.evaluation import summarize

    evaluation = summarize(results)
    print(evaluation)
    origin = {"task": task.name, "task_origin": task.origin, "fps": task.fps}
    content = {"arguments": asdict(arguments), "policy": policy, **origin, **evaluation.to_dict()}
    _write_json(arguments.output_dir / "results.json", content)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with file_written_beside(path) as file:
        file.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
    print(f"results: {path}")
