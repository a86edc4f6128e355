"""Closed-loop success of recipes: from the reference to stack_cpu.yaml one change at a time, and around it.

    python scripts/benchmarks/stacking.py --rows all --output_dir outputs/stacking
    python scripts/benchmarks/stacking.py --rows stack_cpu: --seeds 1 2 3 --disturbances

Demonstrations are recorded, policies trained and evaluated with the commands a user has; recording and rollouts can be
spread over processes or a cluster. Every run adds a line to results.jsonl in the output folder, and one whose line is
there is not repeated; other layouts or numbers of rollouts want another folder. The table at the end gives, for each
row, the process time of the training and the success with its 95 % Wilson interval over all its rollouts; with
--disturbances a second one gives the success in each scene.
"""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.worker_arguments import WorkerArguments
from dp_hf.errors import UserError
from dp_hf.kept_lines import KeptLines

ROOT = Path(__file__).parents[2]
TIME_FILE = "cpu_minutes.txt"

# Flags of the recorder; parts on both sides of AND are recorded apart, from layouts 1000 apart, and merged.
AND = " and "
CLEAN_50 = "--num_episodes 50 --noise 0"
CLEAN_200 = "--num_episodes 200 --noise 0"
NOISY_200 = "--num_episodes 200 --noise 0.5"
NOISY_500 = "--num_episodes 500 --noise 0.5"
SURFACES_400 = "--num_episodes 400 --disturbed_share 0.7 --surfaces 10 --distractors 3"
DISTURBED = (
    "--shadows --camera_shift 10 --camera_turn 3 --light_jitter 0.3 "
    "--light_color 0.3 --surfaces 10 --distractors 3 --sensor 1 --hue_jitter 0.1 --push 20"
)
# What no augmentation imitates.
CHANGED = "--surfaces 10 --distractors 3 --camera_turn 3 --camera_shift 10"
ROBUST_600 = f"--num_episodes 600 --disturbed_share 0.6 {CHANGED}"

REFERENCE = (
    f"--config {ROOT / 'configs/train/reference.yaml'} --pretrained_backbone none --frame_skip 1 "
    "--action_source auto --action_offset None "
    "--num_epochs 120 --learning_rate 1e-3 --lr_scheduler cosine --lr_warmup_steps 200 --ema_decay 0.998"
)
STATE = f"{REFERENCE} --use_proprioception"
CHUNK = f"{STATE} --horizon 16 --n_action_steps 8"
SAMPLE = (
    f"{CHUNK} --prediction_type sample --beta_schedule squaredcos_cap_v2 --diffusion_timesteps 100 "
    "--noise_scheduler ddim --num_inference_steps 10"
)
STACK_CPU = f"--config {ROOT / 'configs/train/stack_cpu.yaml'}"
# For few demonstrations: sees more, denoises with less, learns at half the rate.
STACK_FEW = (
    f"{STACK_CPU} --cnn_width 64 --hidden_dim 256 --noise_samples_per_image 4 --learning_rate 1e-3 --ema_decay 0.998"
)
STACK_ROBUST = f"--config {ROOT / 'configs/train/stack_robust.yaml'}"
STACK_FAST = f"--config {ROOT / 'configs/train/stack_fast.yaml'}"
# Without augmentation, with a CNN twice as wide, that learns for longer at half the rate.
HEADLINE = (
    f"{STACK_CPU} --cnn_width 64 --hidden_dim 256 --random_shift 0 "
    "--random_rotation 0 --random_scale 0 --random_perspective 0 --color_jitter 0 --channel_jitter 0 --gamma_jitter 0 "
    "--hue_jitter 0 --light_patches 0 --noise_samples_per_image 4 --num_epochs 60 --learning_rate 1e-3 "
    "--ema_decay 0.998"
)

# Row: what is recorded, how it is trained, how it is evaluated. The first eight add one change each.
ROWS: dict[str, tuple[str, str, str]] = {
    "reference": (CLEAN_50, REFERENCE, "--bf16_encoder"),
    "+ state": (CLEAN_50, STATE, "--bf16_encoder"),
    "+ chunk of 16, 8 executed": (CLEAN_50, CHUNK, ""),
    "+ sample prediction": (CLEAN_50, SAMPLE, ""),
    "+ keypoints of a trained CNN": (CLEAN_50, f"{HEADLINE} --num_epochs 120", "--n_action_steps 8"),
    "+ 200 layouts in place of 50": (CLEAN_200, HEADLINE, "--n_action_steps 8"),
    "+ noise in the demonstrations": (NOISY_200, HEADLINE, "--n_action_steps 8"),
    "headline: + temporal ensembling": (NOISY_200, HEADLINE, ""),
    "headline, 4 actions executed": (NOISY_200, HEADLINE, "--n_action_steps 4"),
    "headline, 30 epochs": (NOISY_200, f"{HEADLINE} --num_epochs 30", ""),
    "headline, epsilon": (NOISY_200, f"{HEADLINE} --prediction_type epsilon", ""),
    "headline, U-Net": (NOISY_200, f"{HEADLINE} --denoiser unet1d", ""),
    # One noise level that hides the actions leaves plain regression of the chunk, as in ACT's deterministic decoder.
    "headline, regression": (
        NOISY_200,
        f"{HEADLINE} --diffusion_timesteps 1 --num_inference_steps 1 --beta_schedule linear "
        "--beta_start 0.9999 --beta_end 0.9999",
        "",
    ),
    "headline, no state": (NOISY_200, f"{HEADLINE} --no_use_proprioception", ""),
    "headline, 500 demonstrations": (NOISY_500, f"{HEADLINE} --num_epochs 40", ""),
    "stack_cpu: + augmentation, half as wide": (NOISY_200, STACK_CPU, ""),
    # Of the same number of updates.
    **{
        f"{name}, {count} demonstrations": (
            f"--num_episodes {count} --noise 0.5",
            f"{recipe} --num_epochs {epochs} --validation_interval {epochs // 2} --save_interval {epochs // 2}",
            "",
        )
        for name, recipe in (("stack_cpu", STACK_CPU), ("for few", STACK_FEW))
        for count, epochs in ((10, 750), (25, 300), (50, 150), (100, 75), (200, 38))
    },
    "stack_robust: surfaces, distractors and a moved camera in the demonstrations": (ROBUST_600, STACK_ROBUST, ""),
    "stack_robust, 850 demonstrations: also pushes, and some of everything": (
        AND.join((ROBUST_600, f"--num_episodes 100 {CHANGED} --push 20", f"--num_episodes 150 {DISTURBED}")),
        f"{STACK_ROBUST} --num_epochs 19",
        "",
    ),
    "stack_cpu wider, 1000 demonstrations of every disturbance": (
        f"--num_episodes 1000 --disturbed_share 0.7 {DISTURBED}",
        f"{STACK_ROBUST} --cnn_width 64 --image_size 48 84 --num_epochs 10 --validation_fraction 0.02",
        "",
    ),
    "stack_cpu, 400 demonstrations of every disturbance": (
        f"--num_episodes 400 --disturbed_share 0.5 {DISTURBED}",
        f"{STACK_CPU} --num_epochs 32",
        "",
    ),
    "demonstrations of surfaces and distractors": (SURFACES_400, f"{STACK_FAST} --num_epochs 26 --state_noise 3", ""),
    "the quickstart's stack_fast": (NOISY_200, STACK_FAST, ""),
}


@dataclass(kw_only=True)
class Stacking(WorkerArguments):
    """Trains and evaluates recipes for stacking, and prints the table of their success."""

    rows: tuple[str, ...] = ("headline: + temporal ensembling",)
    """Rows to run, by any part of their names; `all` for all. --list shows them."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds of each row."""
    episodes: int = 100
    """Rollouts of each run, on the same layouts for all."""
    first_demonstration: int = 0
    """Seed of the first recorded layout."""
    first_layout: int = 0
    """First evaluation layout, as --layout_seed of `dp-hf evaluate`."""
    disturbances: bool = False
    """Measure every scene of `dp-hf evaluate --disturbances`, the nominal one among them."""
    output_dir: Path = Path("outputs/stacking")
    """Folder for demonstrations, runs and results.jsonl."""
    list: bool = False
    """Only print the names of the rows."""


def command(name: str, *arguments: object) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / f"{name}.py", *map(str, arguments)], check=True)


def run_row(name: str, seed: int, options: Stacking) -> dict:
    """Trains (once for rows that differ in their evaluation only) and evaluates; returns a line of results.jsonl."""
    recording, training, evaluation = ROWS[name]
    policy, minutes = trained_policy(recording, training, seed, options)
    folder = options.output_dir / "evaluations" / "".join(c if c.isalnum() else "_" for c in f"{name}-{seed}")
    command(
        "evaluate",
        *evaluation.split(),
        *("--pipeline", policy / "final", "--output_dir", folder),
        *("--num_episodes", options.episodes, "--layout_seed", options.first_layout),
        *options.worker_flags(),
        *(["--disturbances"] if options.disturbances else []),
    )
    rates = json.loads((folder / "results.json").read_text(encoding="utf-8"))["rates"]
    result = {"row": name, "seed": seed, "cpu_minutes": minutes, "rates": rates}
    if options.disturbances:
        scenes = json.loads((folder / "disturbances.json").read_text(encoding="utf-8"))["scenes"]
        result["scenes"] = {scene: found["rates"]["stacked"] for scene, found in scenes.items()}
    return result


def trained_policy(recording: str, training: str, seed: int, options: Stacking) -> tuple[Path, float]:
    """The run's folder and the minutes of process time that its training took."""
    first = options.first_demonstration
    key = hashlib.sha256(f"{recording} {first} {training} {seed}".encode()).hexdigest()[:10]
    folder = options.output_dir / "policies" / key
    if not is_trained(folder):
        data = recorded(recording, options)
        train(folder, *training.split(), "--data_dir", data, "--seed", seed)
    return folder, cpu_minutes(folder)


def is_trained(folder: Path) -> bool:
    return (folder / TIME_FILE).exists()


def train(folder: Path, *flags: object) -> None:
    """Trains into `folder`, anew: what an interrupted run left has no complete process time."""
    shutil.rmtree(folder, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command("train", *flags, "--output_dir", folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (folder / TIME_FILE).write_text(f"{seconds / 60:.3f}")


def cpu_minutes(folder: Path) -> float:
    """Minutes of process time that the training into `folder` took."""
    return float((folder / TIME_FILE).read_text())


def recorded(recording: str, options: Stacking) -> Path:
    """The folder of demonstrations, or of the parts of them together."""
    first, parts = options.first_demonstration, []
    for index, flags in enumerate(recording.split(AND)):
        seed = first + 1000 * index
        parts.append(options.output_dir / f"demonstrations{flags.replace(' ', '').replace('--', '-')}-{seed}")
        recorder = ("--output_dir", parts[-1], "--layout_seed", seed, *options.worker_flags())
        command("record_demonstrations", *flags.split(), *recorder)
    if len(parts) == 1:
        return parts[0]
    key = hashlib.sha256(f"{recording} {first}".encode()).hexdigest()[:10]
    together = options.output_dir / f"demonstrations-{key}"
    if not together.exists():
        command("edit_episodes", *parts, "--output_dir", together)
    return together


def table(results: list[dict]) -> str:
    """Markdown, one line a row; the interval is over all rollouts of the row's seeds."""
    from dp_hf.success.rates import wilson

    stages = ("lifted", "placed", "stacked")
    lines = [f"| recipe | seeds | CPU min | {' | '.join(stages)} | 95 % interval |", "|---|---|---|---|---|---|---|"]
    for name in [name for name in ROWS if any(result["row"] == name for result in results)]:
        runs = [result for result in results if result["row"] == name]
        counts = {
            stage: wilson(*(sum(run["rates"][stage][key] for run in runs) for key in ("successes", "trials")))
            for stage in stages
        }
        minutes = sum(run["cpu_minutes"] for run in runs) / len(runs)
        stacked = counts["stacked"]
        cells = [name, str(len(runs)), f"{minutes:.1f}", *(f"{rate.rate:.1%}" for rate in counts.values())]
        lines.append(f"| {' | '.join(cells)} | {stacked.low:.1%} to {stacked.high:.1%} |")
    return "\n".join(lines)


def scene_table(results: list[dict]) -> str:
    """Markdown, one line a row of the benchmark and scene: stacked over all seeds, and in the worst of them."""
    from dp_hf.success.rates import wilson

    lines = ["| recipe | scene | stacked | 95 % interval | worst seed |", "|---|---|---|---|---|"]
    for name in [name for name in ROWS if any(result["row"] == name for result in results)]:
        runs = [result["scenes"] for result in results if result["row"] == name]
        for scene in runs[0]:
            rate = wilson(*(sum(run[scene][key] for run in runs) for key in ("successes", "trials")))
            worst = min((run[scene] for run in runs), key=lambda found: found["rate"])
            lines.append(
                f"| {name} | {scene} | {rate.successes}/{rate.trials} | {rate.low:.1%} to {rate.high:.1%} "
                f"| {worst['successes']}/{worst['trials']} |"
            )
    return "\n".join(lines)


def chosen_rows(parts: tuple[str, ...]) -> list[str]:
    names = [name for name in ROWS if "all" in parts or any(part in name for part in parts)]
    if unknown := [part for part in parts if part != "all" and not any(part in name for name in ROWS)]:
        raise UserError(f"no row has {', '.join(unknown)} in its name; --list shows them")
    return names


def main() -> int:
    return run(measure, parse(Stacking, None, "stacking"))


def measure(options: Stacking) -> None:
    if options.list:
        print("\n".join(ROWS))
        return
    # One thread, so that process time means the same everywhere.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    identity = {name: getattr(options, name) for name in ("episodes", "first_demonstration", "first_layout")}
    with KeptLines(options.output_dir / "results.jsonl", identity, "runs") as kept:
        usable = (line for line in kept.records if "scenes" in line or not options.disturbances)
        done = {(line["row"], line["seed"]): line for line in usable}
        wanted = [(name, seed) for name in chosen_rows(options.rows) for seed in options.seeds]
        todo = [row for row in wanted if row not in done]
        for name, seed in tqdm(todo, "runs", disable=len(todo) < 2):
            done[name, seed] = run_row(name, seed, options)
            kept.append(done[name, seed])
    results = [*done.values()]
    print(table(results))
    if options.disturbances:
        print(f"\n{scene_table(results)}")


if __name__ == "__main__":
    raise SystemExit(main())
