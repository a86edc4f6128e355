"""`run.json` in the episode of a recorded run: what the policy predicted, when the arm was held, what its alarm saw."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, inside, read_json

RUN_FILE = "run.json"


@dataclass(frozen=True)
class Chunk:
    """Positions (T, n) that were to be followed, due at `times` (T,), in seconds as the timestamps are."""

    times: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True)
class Hold:
    """From `start` to `end`, on the same clock, the arm was held."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class Alarm:
    """At `time`, on the same clock, the policy was noticed not to know what it does."""

    time: float
    reason: str


@dataclass(frozen=True)
class Score:
    """What an alarm watched: `values` (T,) at `times` (T,), strange above `limit` if there is one.

    Values that are not finite are not kept.
    """

    name: str
    times: np.ndarray
    values: np.ndarray
    limit: float | None


Judged = Mapping[str, tuple[float, float | None]]
"""Scores of one prediction by name: each one's value, and its limit if there is one."""


def scores_over(seen: Sequence[tuple[float, Judged]]) -> list[Score]:
    """The course of every score, of moments and what was seen at each."""
    names = seen[0][1] if seen else {}
    times = np.array([time for time, _ in seen])
    return [Score(name, times, np.array([each[name][0] for _, each in seen]), seen[-1][1][name][1]) for name in names]


@dataclass
class Run:
    """What is known of a run beside its frames."""

    chunks: list[Chunk] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)

    def write(self, episode: Path) -> None:
        content = {
            "chunks": [{"times": _rounded(each.times), "positions": _rounded(each.positions)} for each in self.chunks],
            "holds": [vars(hold) for hold in self.holds],
            "alarms": [vars(alarm) for alarm in self.alarms],
            "scores": [_score_to_json(score) for score in self.scores],
        }
        with file_written_beside(episode / RUN_FILE) as file:
            file.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")

    def since(self, start: float) -> "Run":
        """The same in seconds from `start` on."""
        return Run(
            [replace(chunk, times=chunk.times - start) for chunk in self.chunks],
            [replace(hold, start=hold.start - start, end=hold.end - start) for hold in self.holds],
            [replace(alarm, time=alarm.time - start) for alarm in self.alarms],
            [replace(score, times=score.times - start) for score in self.scores],
        )

    @classmethod
    def read(cls, episode: Path, state_dim: int) -> "Run | None":
        """That of an episode; None where it has none.

        Raises:
            UserError: the file is damaged, or of an arm with other numbers than `state_dim`.
        """
        if not (episode / RUN_FILE).exists():
            return None
        file = inside(episode, RUN_FILE)
        values = read_json(file)
        try:
            chunks = [_chunk(each, state_dim) for each in values["chunks"]]
            holds = [Hold(float(each["start"]), float(each["end"]), str(each["reason"])) for each in values["holds"]]
            # Runs from before there were alarms have none.
            alarms = [Alarm(float(each["time"]), str(each["reason"])) for each in values.get("alarms", [])]
            scores = [_score(each) for each in values.get("scores", [])]
            times = [time for hold in holds for time in (hold.start, hold.end)] + [alarm.time for alarm in alarms]
            if not np.isfinite(times).all():
                raise ValueError("a time that is not finite")
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file} is damaged ({error!r}): remove it, the episode needs it not") from error
        return cls(chunks, holds, alarms, scores)


def _chunk(value: Any, state_dim: int) -> Chunk:
    times, positions = (np.array(value[name], np.float64) for name in ("times", "positions"))
    if times.ndim != 1 or positions.shape != (len(times), state_dim) or not len(times):
        raise ValueError(f"a chunk of shapes {times.shape} and {positions.shape}")
    if not (np.isfinite(times).all() and np.isfinite(positions).all()):
        raise ValueError("a chunk that is not finite")
    return Chunk(times, positions)


def _score(value: Any) -> Score:
    times, values = (np.array(value[name], np.float64) for name in ("times", "values"))
    limit = None if value["limit"] is None else float(value["limit"])
    if times.ndim != 1 or times.shape != values.shape:
        raise ValueError(f"a score of shapes {times.shape} and {values.shape}")
    if not (np.isfinite(times).all() and np.isfinite(values).all() and np.isfinite(limit or 0)):
        raise ValueError("a score that is not finite")
    return Score(str(value["name"]), times, values, limit)


def _score_to_json(score: Score) -> dict[str, Any]:
    kept = np.isfinite(score.values)
    return {**vars(score), "times": _rounded(score.times[kept]), "values": _rounded(score.values[kept])}


def _rounded(values: np.ndarray) -> list:
    return np.round(values, 5).tolist()
