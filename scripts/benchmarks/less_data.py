"""Prints and draws how often a policy stacks, by the number of demonstrations it has learned from.

python scripts/benchmarks/less_data.py

From the lines of less_data.jsonl; rollouts of all training seeds are taken together. stacking.py makes such figures.
"""

import json
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from measuring import cell, markdown

from dp_hf.success.rates import Rate, wilson

LINES = Path(__file__).with_suffix(".jsonl")
FIGURE = Path(__file__).parents[1] / "figures/less_data.png"


def pooled(lines: list[dict]) -> dict[tuple[str, str], dict[int, Rate]]:
    """By recipe and scene, then by number of demonstrations."""
    counts: dict[tuple[str, str], dict[int, list[list[int]]]] = {}
    for line in lines:
        for scene, stacked in line["stacked"].items():
            curve = counts.setdefault((line["recipe"], scene), {})
            curve.setdefault(line["demonstrations"], []).append(stacked)
    return {
        of: {number: wilson(*map(sum, zip(*runs, strict=True))) for number, runs in sorted(curve.items())}
        for of, curve in counts.items()
    }


def draw(curves: dict[tuple[str, str], dict[int, Rate]], file: Path) -> None:
    figure, axis = pyplot.subplots(figsize=(6, 3.6))
    for (recipe, scene), curve in curves.items():
        rates = [100 * rate.rate for rate in curve.values()]
        below = [100 * (rate.rate - rate.low) for rate in curve.values()]
        above = [100 * (rate.high - rate.rate) for rate in curve.values()]
        style = {"linestyle": "--" if scene == "all together" else "-", "label": f"{recipe}, {scene}"}
        axis.errorbar([*curve], rates, (below, above), marker="o", capsize=3, **style)
    axis.set(xscale="log", xlabel="demonstrations", ylabel="stacked, %, with 95 % intervals", ylim=(0, 102))
    numbers = sorted({number for curve in curves.values() for number in curve})
    axis.set_xticks(numbers, [str(number) for number in numbers])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=150)


def main() -> None:
    matplotlib.use("Agg")
    curves = pooled([json.loads(line) for line in LINES.open()])
    numbers = sorted({number for curve in curves.values() for number in curve})
    rows = [
        {"recipe, scene": f"{recipe}, {scene}"}
        | {str(number): cell(curve[number]) if number in curve else None for number in numbers}
        for (recipe, scene), curve in curves.items()
    ]
    print(markdown(rows))
    draw(curves, FIGURE)


if __name__ == "__main__":
    main()
