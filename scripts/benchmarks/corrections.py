"""What corrections bring: a policy of few demonstrations after rounds of corrections, beside policies of more of them.

    python scripts/benchmarks/corrections.py --seeds 0 1 2 --disturbances --output_dir outputs/corrections
    python scripts/benchmarks/corrections.py --recording='--disturbed_share 0.5 --surfaces 10 --distractors 3'

A policy learns from 10 demonstrations. In each of three rounds it acts in the simulator until it has failed on ten
layouts, the expert corrects it there (`dp-hf record-corrections`), and it learns further, half of every batch from all
corrections so far (`dp-hf train --init_from --corrections`). Beside it stand policies of 40 and of 200 demonstrations
with as many updates as the first. All is done with the commands a user has; a seed has demonstrations, layouts of
corrections and weights of its own, and all are measured on the same layouts. Every policy adds a line to results.jsonl
in the output folder, and one whose line is there is not measured again; other options want another folder. The table at
the end has the success with its 95 % Wilson interval over all seeds, and with --disturbances a second one that of each
scene.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from measuring import cell
from stacking import ROOT, command, cpu_minutes, is_trained, train
from tqdm import tqdm

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.worker_arguments import WorkerArguments
from dp_hf.errors import UserError
from dp_hf.kept_lines import KeptLines
from dp_hf.ranges import Range, require_in_range

# Layouts of the demonstrations of a seed, and of the corrections of a round, are so far apart.
OF_SEED, OF_ROUND = 20_000, 5_000


@dataclass(kw_only=True)
class Corrections(WorkerArguments):
    """Measures a policy of few demonstrations after each round of corrections, beside policies of more of them."""

    seeds: tuple[int, ...] = (0,)
    """Of the weights, and of which demonstrations and corrections there are."""
    demonstrations: Annotated[int, Range(1)] = 10
    """That the corrected policy begins with."""
    beside: tuple[int, ...] = (40, 200)
    """Demonstrations of the policies beside it."""
    rounds: Annotated[int, Range(1)] = 3
    """Of corrections."""
    corrections: Annotated[int, Range(1)] = 10
    """In each round."""
    recording: str = ""
    """Further flags of `dp-hf record-corrections`: disturbances, or --num_layouts for a policy that seldom fails."""
    training: str = f"--config {ROOT / 'configs/train/stack_fast.yaml'}"
    """Flags of all trainings."""
    epochs: Annotated[int, Range(1)] = 22
    """Of 200 demonstrations; the fewer there are, the more, so that all policies have as many updates."""
    round_training: str = "--learning_rate 1e-3"
    """Further flags of the training in a round."""
    round_epochs: Annotated[int, Range(1)] = 150
    """Passes over the demonstrations in a round; half of every batch is corrections."""
    episodes: Annotated[int, Range(1)] = 100
    """Rollouts of each policy."""
    first_layout: int = 0
    """First evaluation layout, as --layout_seed of `dp-hf evaluate`."""
    first_demonstration: int = 0
    """First layout of the demonstrations of seed 0; those of the next are 20000 further."""
    disturbances: bool = False
    """Measure every scene of `dp-hf evaluate --disturbances`, the nominal one among them."""
    output_dir: Path = Path("outputs/corrections")
    """Folder for recordings, policies and results.jsonl."""

    def __post_init__(self):
        require_in_range(self)


def policies(options: Corrections) -> list[tuple[int, int]]:
    """Numbers of demonstrations and of rounds."""
    rounds = [(options.demonstrations, number) for number in range(options.rounds + 1)]
    return rounds + [(count, 0) for count in options.beside]


def name_of(demonstrations: int, rounds: int, options: Corrections) -> str:
    corrected = f" and {rounds * options.corrections} corrections" if rounds else ""
    return f"{demonstrations} demonstrations{corrected}"


def demonstrated(count: int, seed: int, options: Corrections) -> Path:
    """The folder of so many demonstrations; a larger one holds those of a smaller one, too."""
    folder = options.output_dir / f"seed_{seed}" / f"demonstrations_{count}"
    first = options.first_demonstration + seed * OF_SEED
    recorder = ("--num_episodes", count, "--layout_seed", first, *options.worker_flags())
    command("record_demonstrations", "--output_dir", folder, *recorder)
    return folder


def corrected(rounds: int, seed: int, options: Corrections) -> Path:
    """The folder of all corrections up to a round, of which the last are those of the policy before."""
    folder = options.output_dir / f"seed_{seed}" / "corrections"
    if (later := folder / f"round_{rounds + 1}").exists():
        raise UserError(f"{later} is of a later round than the one that is trained: remove it, or begin anew elsewhere")
    first = options.first_demonstration + seed * OF_SEED + rounds * OF_ROUND
    command(
        "record_corrections",
        *("--pipeline", trained(options.demonstrations, rounds - 1, seed, options) / "final"),
        *("--output_dir", folder / f"round_{rounds}", *options.recording.split()),
        *("--num_episodes", options.corrections, "--layout_seed", first, *options.worker_flags()),
    )
    return folder


def trained(demonstrations: int, rounds: int, seed: int, options: Corrections) -> Path:
    """The folder of the policy's run."""
    folder = options.output_dir / f"seed_{seed}" / f"policy_{demonstrations}_{rounds}"
    if is_trained(folder):
        return folder
    common = [*options.training.split(), "--validation_fraction", 0, "--seed", seed]
    epochs = max(1, round(options.epochs * 200 / demonstrations))
    if rounds:
        epochs = options.round_epochs
        common += ["--init_from", trained(demonstrations, rounds - 1, seed, options) / "final"]
        common += ["--corrections", corrected(rounds, seed, options), *options.round_training.split()]
    data = demonstrated(demonstrations, seed, options)
    # Validation and checkpoints take time and are not looked at.
    at_the_end = ["--num_epochs", epochs, "--validation_interval", epochs, "--save_interval", epochs]
    train(folder, *common, "--data_dir", data, *at_the_end)
    return folder


def measured(demonstrations: int, rounds: int, seed: int, options: Corrections) -> dict[str, Any]:
    """Trains and evaluates; returns a line of results.jsonl."""
    policy = trained(demonstrations, rounds, seed, options)
    folder = options.output_dir / f"seed_{seed}" / f"evaluation_{demonstrations}_{rounds}"
    command(
        "evaluate",
        *("--pipeline", policy / "final", "--output_dir", folder),
        *("--num_episodes", options.episodes, "--layout_seed", options.first_layout),
        *options.worker_flags(),
        *(["--disturbances"] if options.disturbances else ["--video", 0]),
    )
    result: dict[str, Any] = {"policy": name_of(demonstrations, rounds, options), "seed": seed}
    result |= {"cpu_minutes": cpu_minutes(policy), "rates": _read(folder / "results.json")["rates"]}
    if options.disturbances:
        scenes = _read(folder / "disturbances.json")["scenes"]
        result["scenes"] = {scene: found["rates"]["stacked"] for scene, found in scenes.items()}
    return result


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def table(results: list[dict[str, Any]], names: list[str]) -> str:
    """Markdown, a line for each policy: minutes of process time of its last training, and how often it stacked."""
    from dp_hf.success.rates import wilson

    lines = ["| policy | seeds | CPU min | stacked | 95 % interval | worst seed |", "|---|---|---|---|---|---|"]
    for name in names:
        runs = [result for result in results if result["policy"] == name]
        if runs:
            found = [run["rates"]["stacked"] for run in runs]
            rate = wilson(*(sum(each[key] for each in found) for key in ("successes", "trials")))
            worst = min(found, key=lambda each: each["rate"])
            minutes = sum(run["cpu_minutes"] for run in runs) / len(runs)
            lines.append(
                f"| {name} | {len(runs)} | {minutes:.1f} | {rate.successes}/{rate.trials} "
                f"| {rate.low:.1%} to {rate.high:.1%} | {worst['successes']}/{worst['trials']} |"
            )
    return "\n".join(lines)


def scene_table(results: list[dict[str, Any]], names: list[str]) -> str:
    """Markdown, a line for each scene: how often each policy stacked over all seeds, with the interval."""
    from dp_hf.success.rates import wilson

    runs = {name: [result["scenes"] for result in results if result["policy"] == name] for name in names}
    runs = {name: of_policy for name, of_policy in runs.items() if of_policy}
    lines = [f"| scene | {' | '.join(runs)} |", "|---" * (1 + len(runs)) + "|"]
    for scene in next(iter(runs.values()))[0]:
        cells = []
        for of_policy in runs.values():
            rate = wilson(*(sum(run[scene][key] for run in of_policy) for key in ("successes", "trials")))
            cells.append(cell(rate))
        lines.append(f"| {scene} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    return run(benchmark, parse(Corrections, None, "corrections"))


def benchmark(options: Corrections) -> None:
    # One thread, so that process time means the same everywhere.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    free = ("seeds", "beside", "rounds", "disturbances", "num_workers", "cluster", "trust_cluster", "output_dir")
    identity = {name: value for name, value in asdict(options).items() if name not in free}
    names = {name_of(*policy, options): policy for policy in policies(options)}
    with KeptLines(options.output_dir / "results.jsonl", identity, "policies") as kept:
        usable = (line for line in kept.records if "scenes" in line or not options.disturbances)
        done = {(line["policy"], line["seed"]): line for line in usable}
        todo = [(name, seed) for seed in options.seeds for name in names if (name, seed) not in done]
        for name, seed in tqdm(todo, "policies", disable=len(todo) < 2):
            done[name, seed] = measured(*names[name], seed, options)
            kept.append(done[name, seed])
    results = [line for (_, seed), line in done.items() if seed in options.seeds]
    print(table(results, [*names]))
    if options.disturbances:
        print(f"\n{scene_table(results, [*names])}")


if __name__ == "__main__":
    raise SystemExit(main())
