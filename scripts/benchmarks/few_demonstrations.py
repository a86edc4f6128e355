"""Success of one recipe on Meta-World's tasks, learned from ten demonstrations each.

    export METAWORLD_PYTHON=~/venvs/metaworld/bin/python
    python scripts/benchmarks/few_demonstrations.py --tasks basketball hammer

Demonstrations of the task's own expert are recorded, a policy is trained and evaluated, with the commands a user has.
Demonstrations are kept where success lasted five actions, as in DP3's protocol (arXiv:2403.03954); the policy succeeds
when it does so once. Measured is the last checkpoint, on layouts that no demonstration showed. With --published also as
DP3 has it: 20 rollouts at each of ten checkpoints, the mean of the five best, which chooses by what it measures.
Every run adds a line to few_demonstrations.jsonl in the output folder, and one whose line is there is not repeated;
other options want another folder.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from measuring import cell, markdown
from stacking import command, cpu_minutes, is_trained, train
from tqdm import tqdm

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.train import parse_config
from dp_hf.cli.worker_arguments import WorkerArguments
from dp_hf.errors import UserError
from dp_hf.kept_lines import KeptLines
from dp_hf.ranges import Range
from dp_hf.success.rates import wilson

# By difficulty, as in DP3's table; all others are easy.
CLASSES = {
    "medium": (
        *("basketball", "bin-picking", "box-close", "coffee-pull", "coffee-push", "hammer", "peg-insert-side"),
        *("push-wall", "soccer", "sweep", "sweep-into"),
    ),
    "hard": ("assembly", "hand-insert", "pick-out-of-hole", "pick-place", "push", "push-back"),
    "very hard": ("shelf-place", "disassemble", "stick-pull", "stick-push", "pick-place-wall"),
}
# Means over all tasks of a class, percent: Diffusion Policy from pictures, and DP3 from point clouds.
PUBLISHED = {"easy": (83.6, 90.9), "medium": (31.1, 61.6), "hard": (9.0, 31.7), "very hard": (26.6, 49.0)}
DEVELOPMENT = (
    *("reach", "button-press-topdown", "drawer-open", "plate-slide", "basketball", "hammer", "push-wall", "sweep"),
    *("assembly", "pick-place", "push", "hand-insert", "stick-pull", "pick-place-wall"),
)
CHECKPOINTS, BEST, ROLLOUTS = 10, 5, 20


@dataclass(kw_only=True)
class FewDemonstrations(WorkerArguments):
    """Trains and evaluates a recipe on many tasks, and prints the table of its success."""

    tasks: tuple[str, ...] = DEVELOPMENT
    """Of Meta-World, such as drawer-open; default the fourteen that the recipe was made on."""
    seeds: tuple[int, ...] = (0,)
    """Each of them records other layouts and trains with other weights."""
    config: str = "few_demonstrations"
    """Recipe: a YAML file of configs/train, or its name."""
    task_file: str = "metaworld_hand"
    """Task file, which says what the policy sees and how often it acts."""
    demonstrations: Annotated[int, Range(1)] = 10
    """To learn from."""
    num_epochs: Annotated[int, Range(1)] | None = None
    """In place of the recipe's."""
    episodes: Annotated[int, Range(1)] = 50
    """Rollouts of the last checkpoint."""
    layout_seed: Annotated[int, Range()] = 0
    """First layout of these, as in `dp-hf evaluate`."""
    published: bool = False
    """Also the mean of the five best checkpoints; the rollouts between are part of the training's minutes then."""
    output_dir: Path = Path("outputs/few_demonstrations")
    """Folder for demonstrations, runs and few_demonstrations.jsonl."""


def run_task(task: str, seed: int, options: FewDemonstrations) -> dict:
    """Records, trains and evaluates; returns a line of few_demonstrations.jsonl."""
    of_task = ("--task_file", options.task_file, "--task_arguments", f"task={task}")
    folders = ("demonstrations", "policies", "evaluations")
    data, policy, found = (options.output_dir / folder / f"{task}-{seed}" for folder in folders)
    command(
        "record_demonstrations",
        *of_task,
        *("--success_steps", 5, "--num_episodes", options.demonstrations, "--layout_seed", 1000 * seed),
        *("--output_dir", data),
        *options.worker_flags(),
    )
    if not is_trained(policy):
        config = parse_config(["--config", options.config])
        epochs = options.num_epochs or config.optimization.num_epochs
        rollouts = ("--rollout_interval", max(1, epochs // CHECKPOINTS), "--rollout_episodes", ROLLOUTS, *of_task)
        train(
            policy,
            *("--config", options.config, "--data_dir", data, "--seed", seed, "--num_epochs", epochs),
            *(rollouts if options.published else ()),
        )
    command(
        "evaluate",
        *of_task,
        *("--pipeline", policy / "final", "--output_dir", found),
        *("--num_episodes", options.episodes, "--layout_seed", options.layout_seed),
        *options.worker_flags(),
    )
    success = json.loads((found / "results.json").read_text(encoding="utf-8"))["rates"]["success"]
    line = {
        "task": task,
        "seed": seed,
        "cpu_minutes": round(cpu_minutes(policy), 1),
        "success": [success["successes"], success["trials"]],
    }
    return line | ({"five_best": five_best(policy)} if options.published else {})


def class_of(task: str) -> str:
    """How difficult a task is."""
    return next((name for name, tasks in CLASSES.items() if task in tasks), "easy")


def five_best(run: Path) -> float:
    """Mean success of a run's five best checkpoints, of those that were tried while it learned."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    rates = sorted(row["rollout"]["success_rate"] for row in rows if "rollout" in row)
    if len(rates) < BEST:
        raise UserError(f"{run}: {len(rates)} checkpoints were tried, and the mean is that of the {BEST} best")
    return sum(rates[-BEST:]) / BEST


def tables(lines: Sequence[dict]) -> str:
    """Markdown: a row for each task, and the mean of each class beside what is published of it."""
    rows = []
    means: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    for task in sorted({line["task"] for line in lines}, key=lambda task: [*PUBLISHED].index(class_of(task))):
        runs = [line for line in lines if line["task"] == task]
        rate = wilson(*map(sum, zip(*(run["success"] for run in runs), strict=True)))
        minutes = sum(run["cpu_minutes"] for run in runs) / len(runs)
        row = {"task": task, "class": class_of(task), "seeds": len(runs), "CPU min": minutes, "success": cell(rate)}
        best = [run["five_best"] for run in runs if "five_best" in run]
        rows.append(row | {"five best, %": f"{100 * sum(best) / len(best):.1f}" if best else None})
        means[class_of(task)].append(100 * rate.rate)
    classes = [
        {
            "class": name,
            "tasks": len(rates),
            "ours, %": f"{sum(rates) / len(rates):.1f}",
            "Diffusion Policy, %": PUBLISHED[name][0],
            "DP3, %": PUBLISHED[name][1],
        }
        for name, rates in means.items()
        if rates
    ]
    return f"{markdown(rows)}\n\n{markdown(classes)}"


def measure(options: FewDemonstrations) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    names = ("config", "task_file", "demonstrations", "num_epochs", "episodes", "layout_seed", "published")
    identity = {name: getattr(options, name) for name in names}
    with KeptLines(options.output_dir / "few_demonstrations.jsonl", identity, "runs") as kept:
        done = {(line["task"], line["seed"]) for line in kept.records}
        todo = [(task, seed) for seed in options.seeds for task in options.tasks if (task, seed) not in done]
        for task, seed in tqdm(todo, "tasks", disable=len(todo) < 2):
            kept.append(run_task(task, seed, options))
        print(tables(kept.records))


if __name__ == "__main__":
    raise SystemExit(run(measure, parse(FewDemonstrations, None, "few_demonstrations")))
