"""`dp-hf evaluate`: measure closed-loop success in the simulator, or replay recorded demonstrations."""

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dp_hf.cameras import ONLY_CAMERA
from dp_hf.cli.arguments import parse, run
from dp_hf.cli.environment_arguments import EnvironmentArguments
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, locked
from dp_hf.ranges import Range

if TYPE_CHECKING:
    from dp_hf.simulation.rollouts import MakePolicy, RolloutResult

EXPERT = "expert"
OLD_NAMES = {"episodes": "num_episodes", "seed": "layout_seed", "cameras": "camera_names"}
REPLAY_TARGET = 0.95


@dataclass(kw_only=True)
class Evaluate(EnvironmentArguments):
    """Measure how often a pipeline stacks the cubes on layouts that were never recorded.

    Writes results.json and a video of rollouts side by side to OUTPUT_DIR, and prints the success of each stage with
    its 95 % Wilson interval. Exit code of --replay: 1 if fewer than 95 % stack.
    """

    pipeline: str | None = None
    """pipeline folder or Hub repository, or "expert" for the expert that records the demonstrations"""
    replay: Path | None = None
    """folder of simulated episodes: execute their recorded actions again, open loop, in place of a pipeline"""
    output_dir: Path = Path("outputs/evaluation")
    """where results.json and the video go"""
    num_episodes: Annotated[int, Range(1)] = 100
    """rollouts; with --replay the most that are replayed"""
    layout_seed: Annotated[int, Range()] = 0
    """first layout; the simulator's seed is 2^30 plus this, so it is none of a demonstration"""
    num_workers: Annotated[int, Range(1, 1024)] = 1
    """processes that run rollouts at the same time"""
    video: Annotated[int, Range(0)] = 8
    """rollouts shown in the video; 0 makes none"""
    video_format: Literal["mp4", "gif"] = "mp4"
    """format of the video"""
    camera_names: tuple[str, ...] | None = None
    """of front, side, wrist; default those that the pipeline was trained with"""
    n_action_steps: Annotated[int, Range(1)] | None = None
    """control steps (0.1 s) executed of each predicted chunk; default as the pipeline"""
    temporal_ensemble: Annotated[float, Range()] | None = None
    """predict at every step and average, the i-th oldest weighing exp(-x * i) for this x, such as 0.01; default as the
    pipeline"""
    num_inference_steps: Annotated[int, Range(1)] | None = None
    """denoising steps; default the pipeline's"""
    bf16_encoder: bool = False
    """encode images in bfloat16: about twice as fast on a CPU with AVX512-BF16 or AMX"""
    device: str = "cpu"
    """torch device of the pipeline, such as cuda"""


def main(argv: list[str] | None = None) -> int:
    return run(evaluate, parse(Evaluate, argv, "dp-hf evaluate", old_names=OLD_NAMES))


def evaluate(arguments: Evaluate) -> int:
    if (arguments.pipeline is None) == (arguments.replay is None):
        raise UserError("give either --pipeline (a folder, a Hub repository or 'expert') or --replay")
    # Before the rollouts, so that these are not lost to a folder that cannot be written to, or to another evaluation.
    with locked(arguments.output_dir):
        if arguments.pipeline is not None:
            return _evaluate(arguments, arguments.pipeline)
        assert arguments.replay is not None
        return _replay(arguments, arguments.replay)


def _evaluate(arguments: Evaluate, pipeline: str) -> int:
    from dp_hf.simulation.layouts import EVALUATION, layout_seeds
    from dp_hf.simulation.rollouts import environment_cameras, run_rollouts

    seeds = layout_seeds(EVALUATION, arguments.layout_seed, arguments.num_episodes)
    make_policy, camera_names = _policy(arguments, pipeline)
    results = run_rollouts(
        make_policy,
        seeds,
        arguments.environment(arguments.camera_names or environment_cameras(camera_names)),
        arguments.num_workers,
        arguments.video,
        "evaluating",
    )
    _write_results(arguments, results)
    if arguments.video:
        from dp_hf.simulation.video import write_grid

        path = arguments.output_dir / f"rollouts.{arguments.video_format}"
        write_grid(results, path)
        print(f"video: {path}")
    return 0


def _policy(arguments: Evaluate, pipeline: str) -> "tuple[MakePolicy, tuple[str, ...]]":
    """What acts, and the names of the cameras that it sees."""
    if pipeline == EXPERT:
        from dp_hf.simulation.expert import expert_policy

        return expert_policy, (ONLY_CAMERA,)
    from dp_hf.simulation.policies import load_once, pipeline_policy

    # Loaded here first, so that a Hub repository is fetched once and not by every worker.
    names = tuple(load_once(pipeline, arguments.device, arguments.bf16_encoder).policy.config.camera_names)
    make_policy = partial(
        pipeline_policy,
        pipeline=pipeline,
        n_action_steps=arguments.n_action_steps,
        temporal_ensemble=arguments.temporal_ensemble,
        num_inference_steps=arguments.num_inference_steps,
        bf16_encoder=arguments.bf16_encoder,
        device=arguments.device,
    )
    return make_policy, names


def _replay(arguments: Evaluate, data_dir: Path) -> int:
    from dp_hf.simulation.replay import replay_episodes

    results = replay_episodes(data_dir, arguments.num_episodes, arguments.num_workers)
    _write_results(arguments, results)
    return 0 if sum(result.stacked for result in results) >= REPLAY_TARGET * len(results) else 1


def _write_results(arguments: Evaluate, results: "list[RolloutResult]") -> None:
    from dp_hf.simulation.evaluation import summarize

    evaluation = summarize(results)
    print(evaluation)
    path = arguments.output_dir / "results.json"
    content = {"arguments": asdict(arguments), **evaluation.to_dict()}
    with file_written_beside(path) as file:
        file.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
    print(f"results: {path}")
