"""What a late policy costs: success, jerk and speed of the simulated arm for each delay and each way to meet it.

    python scripts/benchmarks/delay.py --pipelines outputs/stack/final --num_episodes 100 --num_workers 2

The loop of `dp-hf run-policy` drives the arm in simulated time, 50 commands a second, through its limiter and its
hand-over; between a picture and its chunk lies the delay. Every rollout is kept as it ends in OUTPUT_DIR/delay.jsonl,
and one that is there is not repeated. Prints a table and writes it to delay.md; delay.png shows a joint through three
borders.

Ways: `synchronous` stands and waits for each chunk; `naive` takes the new chunk as it is; `hand-over` is that of
`dp-hf run-policy`, and `ensemble` the same with a prediction for every action, averaged. `prefix` and `prefix
ensemble` tell the policy what will have been sent by then; it has been trained with `--max_prefix`.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from late_rollouts import WAYS, WITHOUT_PREFIX, Trial, drive, require_possible, run_of

from dp_hf.cli.arguments import parse, run
from dp_hf.errors import UserError
from dp_hf.ranges import Range

SHORTEST = 0.1  # seconds, of five commands: jerk is the third difference of them
MEASURED = ("jerk_rms", "jerk_max", "border_jump_mean", "border_jump_max", "speed", "chunks")


@dataclass(kw_only=True)
class Delay:
    """Drives the simulated arm in simulated time with late policies, and measures how it moves."""

    pipelines: tuple[str, ...]
    """Pipeline folders or Hub repositories; several, such as of three seeds, are rows of one table."""
    ways: tuple[str, ...] = WITHOUT_PREFIX
    """Ways to meet a late chunk: those above."""
    delays: tuple[Annotated[float, Range(0)], ...] = (0, 50, 100, 200, 300, 500)
    """Milliseconds from a picture to its chunk."""
    jitter: Annotated[float, Range(0, 1)] = 0.0
    """Share by which each delay is longer or shorter at random."""
    n_action_steps: Annotated[int, Range(1)] | None = None
    """Actions from one prediction to the next, but for the ensemble; default the pipeline's."""
    camera_rate: Annotated[float, Range(above=0)] = 10.0
    """Pictures a second."""
    image_age: Annotated[float, Range(0)] = 0.0
    """Milliseconds from a picture to its arrival, of which the loop does not know."""
    reach_time: Annotated[float, Range(0)] = 100.0
    """Milliseconds from a picture to when its action is due; the demonstrations' arm is there at the end of a step."""
    slow_arm: bool = False
    """Keep the real arm's limits of speed and acceleration in place of the simulated one's."""
    num_episodes: Annotated[int, Range(1)] = 100
    """Layouts of each row."""
    layout_seed: Annotated[int, Range()] = 0
    """The first of them, as in `dp-hf evaluate`."""
    duration: Annotated[float, Range(above=0)] = 15.0
    """Seconds after which a rollout has failed."""
    plot_delay: Annotated[float, Range(0)] = 300
    """Milliseconds, in the plot."""
    joint: Annotated[int, Range(0, 6)] = 1
    """Of the plot, counted from 0."""
    num_workers: Annotated[int, Range(1)] = 1
    """Processes."""
    output_dir: Path = Path("outputs/delay")
    """Folder for delay.jsonl, delay.md and delay.png."""

    def __post_init__(self) -> None:
        if empty := [name for name in ("pipelines", "ways", "delays") if not getattr(self, name)]:
            raise UserError(f"{empty[0]} is empty: give at least one")
        if unknown := [way for way in self.ways if way not in WAYS]:
            raise UserError(f"no way {unknown[0]}: there are {', '.join(WAYS)}")
        if self.duration < SHORTEST:
            raise UserError(
                f"duration is at least {SHORTEST:g} s, of whose commands jerk can be told; got {self.duration:g}"
            )


def main(argv: Sequence[str] | None = None) -> int:
    return run(benchmark, parse(Delay, argv, "delay.py"))


def benchmark(arguments: Delay) -> None:
    from measuring import markdown

    from dp_hf.kept_lines import KeptLines
    from dp_hf.simulation.layouts import EVALUATION, layout_seeds
    from dp_hf.workers.workers import Workers

    digests = {digest_of(pipeline): pipeline for pipeline in arguments.pipelines}
    for digest, pipeline in digests.items():
        require_possible(arguments, pipeline, digest)
    seeds = layout_seeds(EVALUATION, arguments.layout_seed, arguments.num_episodes)
    names = ("jitter", "n_action_steps", "camera_rate", "image_age", "reach_time", "slow_arm", "duration")
    identity = {name: getattr(arguments, name) for name in names}
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    with KeptLines(arguments.output_dir / "delay.jsonl", identity, "rollouts") as kept:
        wanted = [
            Trial(pipeline, digest, way, float(delay), seed)
            for delay in arguments.delays
            for way in arguments.ways
            for digest, pipeline in digests.items()
            for seed in seeds
        ]
        done = {_key(line) for line in kept.records}
        trials = [trial for trial in wanted if _key(_record(trial)) not in done]
        workers = Workers(arguments.num_workers)
        for trial, result in workers.as_finished(partial(_Rollouts, arguments), trials, "rollouts"):
            kept.append({**_record(trial), **result})
        keys = {_key(_record(trial)) for trial in wanted}
        lines = [line for line in kept.records if _key(line) in keys]
    demonstrated = demonstrated_speed(seeds)
    table = markdown(rows_of(lines, demonstrated))
    print(f"{table}\n\nthe expert's speed is {demonstrated:.1f} degrees a second; jerk is in 1000 degrees / s^3")
    (arguments.output_dir / "delay.md").write_text(table + "\n", encoding="utf-8")
    draw(arguments, next(iter(digests)), arguments.output_dir / "delay.png")


def digest_of(pipeline: str) -> str:
    """Of what lies there now."""
    from dp_hf.pipelines.loading import digest_pipeline, load_pipeline

    return digest_pipeline(load_pipeline(pipeline, "cpu"))


def _record(trial: Trial) -> dict[str, Any]:
    return {"policy": trial.digest, "way": trial.way, "delay": trial.delay, "seed": trial.seed}


def _key(record: dict[str, Any]) -> tuple:
    return tuple(record[name] for name in ("policy", "way", "delay", "seed"))


class _Rollouts:
    """One process' share: an environment that is made once."""

    def __init__(self, arguments: Delay):
        from simulated_time import COMMAND_RATE

        from dp_hf.simulation.environment import CubeStackingEnv

        self.arguments = arguments
        self.env = CubeStackingEnv(cameras=(), control_hz=COMMAND_RATE)

    def __call__(self, trial: Trial) -> dict[str, Any]:
        return drive(self.env, trial, self.arguments)


def demonstrated_speed(seeds: Sequence[int]) -> float:
    """Of the expert on these layouts, degrees / s."""
    from motion import NUM_JOINTS, speed_of

    from dp_hf.simulation.environment import CONTROL_HZ
    from dp_hf.simulation.rollouts import rollout
    from dp_hf.simulation.stacking import STACKING

    env, speeds = STACKING.make_environment(cameras=()), []
    assert STACKING.make_expert is not None
    for seed in seeds:
        actions: list[np.ndarray] = []
        rollout(
            env,
            STACKING.make_expert(env, seed),
            seed,
            on_step=lambda image, state, action, into=actions: into.append(action[:NUM_JOINTS]),
        )
        speeds.append(speed_of(np.array(actions), 1 / CONTROL_HZ))
    return float(np.mean(speeds))


def rows_of(lines: Sequence[dict[str, Any]], demonstrated: float) -> list[dict[str, Any]]:
    """A row for each way and delay, over all pipelines and layouts."""
    from dp_hf.success.rates import wilson

    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["way"], line["delay"]), []).append(line)
    rows = []
    for (way, delay), runs in sorted(groups.items(), key=lambda item: (WAYS.index(item[0][0]), item[0][1])):
        rate = wilson(sum(line["success"] for line in runs), len(runs))
        times = [line["seconds"] for line in runs if line["success"]]
        means = {name: float(np.mean([line[name] for line in runs])) for name in MEASURED}
        rows.append(
            {
                "way": way,
                "delay, ms": f"{delay:g}",
                "stacked": f"{rate.successes}/{rate.trials}",
                "95 % interval": f"{rate.low:.1%} to {rate.high:.1%}",
                "seconds to it": f"{np.mean(times):.1f}" if times else "",
                "jerk, RMS": f"{means['jerk_rms'] / 1000:.1f}",
                "largest": f"{means['jerk_max'] / 1000:.0f}",
                "jump at borders": f"{means['border_jump_mean']:.1f}",
                "largest jump": f"{means['border_jump_max']:.0f}",
                "speed": f"{means['speed'] / demonstrated - 1:+.0%}",
                "chunks": f"{means['chunks']:.1f}",
            }
        )
    return rows


def draw(arguments: Delay, digest: str, file: Path) -> None:
    """A joint through three borders, for each way of the first pipeline, on the first layout."""
    import matplotlib.pyplot as plt
    from simulated_time import COMMAND_RATE

    from dp_hf.simulation.environment import CubeStackingEnv
    from dp_hf.simulation.layouts import EVALUATION, layout_seeds

    (seed,) = layout_seeds(EVALUATION, arguments.layout_seed, 1)
    env = CubeStackingEnv(cameras=(), control_hz=COMMAND_RATE)
    figure, axes = plt.subplots(len(arguments.ways), 1, figsize=(7, 1.7 * len(arguments.ways)), squeeze=False)
    for axis, way in zip(axes[:, 0], arguments.ways, strict=True):
        robot, report = run_of(env, Trial(arguments.pipelines[0], digest, way, arguments.plot_delay, seed), arguments)
        # The first of the run has none before it.
        times, borders = np.array(robot.times), [robot.times[0] + border.time for border in report.borders][1:4]
        shown = (times > borders[0] - 0.3) & (times < borders[-1] + 0.3) if borders else times < 2
        axis.plot(times[shown], np.array(robot.commands)[shown, arguments.joint], ".-", linewidth=1, markersize=3)
        for border in borders:
            axis.axvline(border, color="0.6", linewidth=0.8)
        axis.set_title(f"{way}, {arguments.plot_delay:g} ms", fontsize=9, loc="left")
        axis.set_ylabel(robot.quantities.units[arguments.joint])
    axes[-1, 0].set_xlabel("seconds; lines: a chunk takes over")
    figure.tight_layout()
    figure.savefig(file, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
