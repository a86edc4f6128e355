"""Closed-loop success of recipes, from the reference to stack_cpu.yaml one change at a time.

    python scripts/benchmarks/stacking.py --data_dir demonstrations --rows reference headline --seeds 0 1 2

Each run trains with the command a user has (`dp-hf train`), is evaluated on the same unseen layouts, and adds a line to
results.jsonl in the output folder; a run whose line is there is not repeated. The table is printed at the end: seeds,
process time of the training, and success with its 95 % Wilson interval over all rollouts of a row.
"""

import json
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from dp_hf.cli.arguments import parse

ROOT = Path(__file__).parents[2]

# Each step keeps what those before it changed.
STEPS: dict[str, str] = {
    "reference": "--frame_skip 1 --action_offset 1 --pretrained_backbone none",
    "+state": "--use_proprioception",
    "+chunk": "--horizon 16 --n_action_steps 8",
    "+sample": "--prediction_type sample --beta_schedule squaredcos_cap_v2 --diffusion_timesteps 100 "
    "--noise_scheduler ddim --num_inference_steps 10",
}
STEPS_TRAINING = "--num_epochs 200 --lr_scheduler cosine --learning_rate 3e-4"
HEADLINE = f"--config {ROOT / 'configs/train/stack_cpu.yaml'}"
VARIANTS: dict[str, str] = {
    "headline": "",
    "headline, average pooling": "--pooling avg --num_keypoints None",
    "headline, one action": "--horizon 1 --n_action_steps 1",
    "headline, no state": "--no_use_proprioception",
    "headline, epsilon": "--prediction_type epsilon",
    "headline, U-Net": "--denoiser unet1d",
    # One noise level, where the noise hides the actions: plain regression of the chunk, as ACT's decoder does.
    "headline, regression": "--diffusion_timesteps 1 --num_inference_steps 1 --beta_schedule linear "
    "--beta_start 0.9999 --beta_end 0.9999",
}


@dataclass
class Stacking:
    """Trains and evaluates recipes for stacking, and prints the table of their success."""

    data_dir: Path
    """Demonstrations: folder of episodes or converted dataset."""
    output_dir: Path = Path("outputs/stacking")
    """Folder for the runs and results.jsonl."""
    rows: tuple[str, ...] = ("headline",)
    """Rows to run, of those that --list shows; `all` for all."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds of each row."""
    episodes: int = 100
    """Rollouts of each run, on layouts from 2^30 on."""
    num_epochs: int | None = None
    """Epochs of every run; default the recipe's own (the reference's rows: 200)."""
    num_workers: int = 2
    """Processes that run rollouts at the same time."""
    list: bool = False
    """Only print the rows' names."""


def recipes() -> dict[str, list[str]]:
    """Flags of `dp-hf train` by row."""
    rows: dict[str, list[str]] = {}
    flags = STEPS_TRAINING
    for name, change in STEPS.items():
        flags = f"{flags} {change}"
        rows[name] = flags.split()
    return rows | {name: f"{HEADLINE} {change}".split() for name, change in VARIANTS.items()}


def run_row(name: str, flags: list[str], seed: int, options: Stacking) -> dict:
    folder = options.output_dir / f"{name.strip('+').replace(' ', '_').replace(',', '')}-{seed}"
    train = [sys.executable, str(ROOT / "scripts/train.py"), *flags, "--data_dir", str(options.data_dir)]
    train += ["--output_dir", str(folder / "policy"), "--seed", str(seed)]
    if options.num_epochs is not None:
        train += ["--num_epochs", str(options.num_epochs)]
    # What an interrupted run left has no complete process time.
    shutil.rmtree(folder, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(train, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    evaluate = [sys.executable, str(ROOT / "scripts/evaluate.py"), "--pipeline", str(folder / "policy/best")]
    evaluate += ["--episodes", str(options.episodes), "--output_dir", str(folder / "evaluation")]
    subprocess.run([*evaluate, "--num_workers", str(options.num_workers)], check=True)
    rates = json.loads((folder / "evaluation/results.json").read_text(encoding="utf-8"))["rates"]
    return {"row": name, "seed": seed, "flags": flags, "cpu_minutes": seconds / 60, "rates": rates}


def table(results: list[dict]) -> str:
    """Markdown, one line a row; the interval is over all rollouts of the row's seeds."""
    from dp_hf.simulation.evaluation import wilson

    lines = [
        "| recipe | seeds | CPU min | lifted | placed | stacked | 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(result["row"] for result in results):
        runs = [result for result in results if result["row"] == name]
        counts = {
            stage: wilson(
                sum(run["rates"][stage]["successes"] for run in runs),
                sum(run["rates"][stage]["trials"] for run in runs),
            )
            for stage in ("lifted", "placed", "stacked")
        }
        minutes = sum(run["cpu_minutes"] for run in runs) / len(runs)
        stacked = counts["stacked"]
        cells = [name, str(len(runs)), f"{minutes:.1f}", *(f"{rate.rate:.0%}" for rate in counts.values())]
        lines.append(f"| {' | '.join(cells)} | {stacked.low:.0%} to {stacked.high:.0%} |")
    return "\n".join(lines)


def main() -> None:
    options = parse(Stacking, None, "stacking")
    rows = recipes()
    if options.list:
        print("\n".join(rows))
        return
    names = list(rows) if options.rows == ("all",) else options.rows
    if unknown := [name for name in names if name not in rows]:
        sys.exit(f"no row {', '.join(unknown)}; --list shows them")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    log = options.output_dir / "results.jsonl"
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {(result["row"], result["seed"]) for result in results}
    todo = [(name, seed) for name in names for seed in options.seeds if (name, seed) not in done]
    for name, seed in tqdm(todo, "runs", disable=len(todo) < 2):
        results.append(run_row(name, rows[name], seed, options))
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(results[-1]) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
