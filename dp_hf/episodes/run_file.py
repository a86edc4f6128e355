"""`run.json` in the episode of a recorded run: what the policy predicted, and when the arm was held."""

import json
from dataclasses import dataclass, field
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


@dataclass
class Run:
    """What is known of a run beside its frames."""

    chunks: list[Chunk] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)

    def write(self, episode: Path) -> None:
        chunks = [{"times": _rounded(each.times), "positions": _rounded(each.positions)} for each in self.chunks]
        text = json.dumps({"chunks": chunks, "holds": [vars(hold) for hold in self.holds]})
        with file_written_beside(episode / RUN_FILE) as file:
            file.write_text(text + "\n", encoding="utf-8")

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
            if not np.isfinite([(hold.start, hold.end) for hold in holds]).all():
                raise ValueError("a time that is not finite")
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file} is damaged ({error!r}): remove it, the episode needs it not") from error
        return cls(chunks, holds)


def _chunk(value: Any, state_dim: int) -> Chunk:
    times, positions = (np.array(value[name], np.float64) for name in ("times", "positions"))
    if times.ndim != 1 or positions.shape != (len(times), state_dim) or not len(times):
        raise ValueError(f"a chunk of shapes {times.shape} and {positions.shape}")
    if not (np.isfinite(times).all() and np.isfinite(positions).all()):
        raise ValueError("a chunk that is not finite")
    return Chunk(times, positions)


def _rounded(values: np.ndarray) -> list:
    return np.round(values, 5).tolist()
