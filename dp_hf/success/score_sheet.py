"""A person's score sheet for two policies on a real arm, who does not know which of them is running.

The policies are called 1 and 2. Which one 1 is, and which one of a pair begins, follows from a number that is drawn
when the sheet is begun. Of two pairs that follow each other one begins with each policy, so that what changes in the
course of a day meets both alike.
"""

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp_hf.errors import UserError
from dp_hf.kept_lines import KeptLines, read_identity

LABELS = ("1", "2")


@dataclass(frozen=True)
class Run:
    """What is scored next: the pair, counted from 0, and the policy by its label."""

    pair: int
    policy: str


def run_number(seed: int, number: int) -> Run:
    """The run of a number, counted from 0."""
    block, place = divmod(number, 4)
    swapped = _drawn(seed, f"block {block}") ^ (place // 2) ^ (place % 2)
    return Run(2 * block + place // 2, LABELS[swapped])


def labels_of(seed: int) -> dict[str, str]:
    """Which label A has and which B."""
    return dict(zip("AB", LABELS[::-1] if _drawn(seed, "labels") else LABELS, strict=True))


def _drawn(seed: int, what: str) -> int:
    """0 or 1."""
    return hashlib.blake2b(f"{seed} {what}".encode()).digest()[0] % 2


def digest_files(folder: str | Path) -> str:
    """Of a pipeline's files, less its card: folders of one digest hold the same policy."""
    digest = hashlib.blake2b(digest_size=16)
    paths = sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())
    for name in paths:
        if name != "README.md" and not any(part.startswith(".") for part in name.split("/")):
            content = (Path(folder) / name).read_bytes()
            digest.update(f"{name} {len(content)};".encode() + content)
    return digest.hexdigest()


class ScoreSheet(AbstractContextManager):
    """Context manager: answers, each on the disk as soon as it is given.

    Args:
        file: JSON lines; a sheet that was begun there goes on.
        policies: what A and B are, each told from others by its `files`.
        stages: of the task, in order; the last one is the success.

    Raises:
        UserError: the file holds a sheet of other policies or stages, or is damaged.
    """

    def __init__(self, file: Path, policies: dict[str, dict[str, str]], stages: Sequence[str]):
        begun = read_identity(file) or {}
        self.seed, self.stages = begun.get("seed", secrets.randbits(32)), list(stages)
        identity = {"policies": policies, "stages": self.stages, "seed": self.seed}
        self.kept = KeptLines(file, identity, "scores")
        self.answers: list[str | None] = []
        self.revealed = False
        try:
            for record in self.kept.records:
                self._take(record)
        except (KeyError, IndexError, ValueError) as error:
            raise self.kept.damaged(error) from error

    def __enter__(self) -> "ScoreSheet":
        self.kept.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.kept.__exit__(*exception)

    @property
    def next(self) -> Run:
        return run_number(self.seed, len(self.answers))

    def answer(self, reached: str | None) -> None:
        """Keeps how far the next run came.

        Args:
            reached: the last of the stages that it got to; None for none.
        """
        self._keep({"pair": self.next.pair, "policy": self.next.policy, "reached": reached})

    def undo(self) -> None:
        """Takes the last answer back, if there is one; the file keeps both."""
        if self.answers:
            self._keep({"undo": True})

    def reveal(self) -> dict[str, list[dict[str, bool]]]:
        """What A and B reached in each complete pair, by stage; nothing can be scored from now on.

        Raises:
            UserError: no pair is complete.
        """
        outcomes = self.outcomes()
        if not outcomes[LABELS[0]]:
            raise UserError(f"{self.kept.file} has no pair of which both runs are scored: score one first")
        if not self.revealed:
            self._keep({"revealed": True})
        return {name: outcomes[label] for name, label in labels_of(self.seed).items()}

    def outcomes(self) -> dict[str, list[dict[str, bool]]]:
        """What each label reached in each complete pair, by stage."""
        outcomes: dict[str, list[dict[str, bool]]] = {label: [] for label in LABELS}
        for number in range(len(self.answers) // 2 * 2):
            reached = self.answers[number]
            far = 0 if reached is None else self.stages.index(reached) + 1
            got_to = {stage: index < far for index, stage in enumerate(self.stages)}
            outcomes[run_number(self.seed, number).policy].append(got_to)
        return outcomes

    def _keep(self, record: dict[str, Any]) -> None:
        if self.revealed:
            raise UserError(
                f"{self.kept.file}: the names were revealed, and later scores are not blind: begin a new sheet"
            )
        self.kept.append(record)
        self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        if record.get("undo"):
            self.answers.pop()
        elif record.get("revealed"):
            self.revealed = True
        else:
            if (record["pair"], record["policy"]) != (self.next.pair, self.next.policy):
                raise ValueError("a run out of order")
            if record["reached"] is not None:
                self.stages.index(record["reached"])
            self.answers.append(record["reached"])
