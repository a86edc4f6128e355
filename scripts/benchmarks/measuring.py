"""What the benchmarks share: interleaved timing, the machine, its floor, and tables."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dp_hf.success.rates import Rate


def interleaved(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each, after one call that does not count; they take turns, so that a busy moment of the
    machine meets them all."""
    from tqdm import tqdm

    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in tqdm(range(repeats), desc="measuring", leave=False):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: statistics.median(values) for name, values in times.items()}


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    cpu, flags = platform.processor(), ""
    if Path("/proc/cpuinfo").is_file():
        lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
        entries = {name.strip(): value.strip() for name, value in lines.items()}
        cpu, flags = entries.get("model name", cpu), entries.get("flags", "")
    return {
        "cpu": cpu,
        "instructions": [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags.split()],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def peak_flops() -> float:
    """Float32 operations a second of a large matrix product, with the threads that torch has."""
    import torch

    a = torch.rand(1024, 1024)
    return 2 * 1024**3 / best(lambda: a @ a, 20)


def read_bandwidth(num_bytes: int) -> float:
    """Bytes a second that one thread reads again and again from a block of this size."""
    import torch

    block, threads = torch.rand(num_bytes // 4), torch.get_num_threads()
    torch.set_num_threads(1)
    bandwidth = num_bytes / best(lambda: torch.dot(block, block), 500)
    torch.set_num_threads(threads)
    return bandwidth


def best(function: Callable[[], Any], repeats: int) -> float:
    return min(seconds(function) for _ in range(repeats))


def report(results: dict[str, Any], as_json: bool) -> None:
    """Prints `{"machine": ..., "tables": {title: [row, ...]}}`, each row a dict from column to value."""
    if as_json:
        print(json.dumps(results, indent=1))
        return
    facts = (
        f"{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in results["machine"].items()
    )
    print(", ".join(facts))
    for title, rows in results["tables"].items():
        print(f"\n{title}\n")
        print(markdown(rows))


def cell(rate: "Rate") -> str:
    """A rate in little room: counts, and the interval in percent."""
    return f"{rate.successes}/{rate.trials} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table of rows, each a dict from column to value."""
    columns = list(rows[0])
    cells = [columns, ["---"] * len(columns), *([_text(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)
