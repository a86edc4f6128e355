"""Summing up rollouts: staged success rates with confidence intervals, lengths and latencies."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from dp_hf.alarm.record import RunRecord, Tally
from dp_hf.simulation.rollouts import RolloutResult
from dp_hf.success.rates import Rate, wilson


@dataclass(frozen=True)
class Evaluation:
    """Results of many rollouts.

    Attributes:
        rates: for each stage of the task, how many episodes got there; the last one is the success.
        mean_length: steps of the episodes that succeeded; None if none did.
        latency_p50, latency_p99: seconds of a prediction; None for a policy that does not tell.
        episodes: seed, length and stages of each, and the alarm of those that were watched.
        alarm: how the alarm served over those; None where none was watched.
    """

    rates: dict[str, Rate]
    mean_length: float | None
    latency_p50: float | None
    latency_p99: float | None
    episodes: list[dict]
    alarm: Tally | None = None

    @property
    def success(self) -> Rate:
        return [*self.rates.values()][-1]

    def to_dict(self) -> dict:
        return asdict(self)

    def __str__(self) -> str:
        width = max(8, *map(len, self.rates))
        lines = [f"{stage:<{width}} {rate}" for stage, rate in self.rates.items()]
        if self.mean_length is not None:
            lines.append(f"mean length of a success: {self.mean_length:.1f} steps")
        if self.latency_p50 is not None and self.latency_p99 is not None:
            lines.append(f"a prediction: p50 {1e3 * self.latency_p50:.1f} ms, p99 {1e3 * self.latency_p99:.1f} ms")
        if self.alarm is not None:
            lines.append(f"alarm: {self.alarm}")
        return "\n".join(lines)


def summarize(results: Sequence[RolloutResult]) -> Evaluation:
    """Counts stages, lengths and latencies of one rollout or more of a task."""
    lengths = [result.length for result in results if result.success]
    latencies = [seconds for result in results for seconds in result.latencies]
    records = [(result, RunRecord(**result.alarm)) for result in results if result.alarm is not None]
    watched = [(result.success, record.seconds, record.alarmed_after) for result, record in records]
    return Evaluation(
        rates={
            stage: wilson(sum(result.stages[stage] for result in results), len(results)) for stage in results[0].stages
        },
        mean_length=float(np.mean(lengths)) if lengths else None,
        latency_p50=float(np.quantile(latencies, 0.5)) if latencies else None,
        latency_p99=float(np.quantile(latencies, 0.99)) if latencies else None,
        episodes=[_of_episode(result) for result in results],
        alarm=Tally.of(watched) if watched else None,
    )


def _of_episode(result: RolloutResult) -> dict:
    alarm = {} if result.alarm is None else {"alarm": result.alarm["alarm"]}
    return {"seed": result.seed, "length": result.length, **result.stages, **alarm}
