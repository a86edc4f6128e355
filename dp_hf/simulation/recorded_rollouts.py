"""Rollouts kept as episodes to look at: what the cameras saw, what the policy planned, and whether it succeeded."""

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from dp_hf.alarm.watch import Watch
from dp_hf.episodes.recording import Recording
from dp_hf.episodes.run_file import Alarm, Chunk, Run, scores_over
from dp_hf.episodes.writer import repeatable_episode
from dp_hf.errors import UserError
from dp_hf.simulation.rollouts import RolloutResult
from dp_hf.simulation.task import Policy, Task


@dataclass(frozen=True)
class RolloutFolder:
    """Where the rollouts in a task are kept, those of each scene in a folder of its own.

    Every frame says that a policy acted in it, so that nothing learns from them by mistake, and an episode that did not
    succeed is marked as failed.

    Raises:
        UserError: an episode cannot hold the task's actions, which are other numbers than its states.
    """

    folder: Path
    task: Task

    def __post_init__(self) -> None:
        if difference := self.task.state.difference(self.task.action):
            raise UserError(
                f"rollouts of {self.task.name} cannot be recorded: an episode has actions like its states, and here "
                f"the action {difference}"
            )

    def episode(self, scene: str, seed: int) -> Path:
        """Of the rollout on the layout of a seed."""
        return self.folder / re.sub(r"[^\w.-]+", "_", scene) / f"episode_{seed:010d}"

    def record(
        self, run: Callable[..., RolloutResult], env: gymnasium.Env, policy: Policy, scene: str, seed: int
    ) -> RolloutResult:
        """Runs `rollout` or `filmed_rollout`; what it records takes the place of an earlier one's."""
        path, fps = self.episode(scene, seed), self.task.fps
        with suppress(FileNotFoundError):
            shutil.rmtree(path)
        with repeatable_episode(path.parent, path.name, Recording.of(self.task.state, fps)) as writer:

            def add_frame(image: Any, state: np.ndarray, action: np.ndarray) -> None:
                writer.add_frame(image, state, action, writer.num_frames / fps, "policy")

            result = run(env, policy, seed, on_step=add_frame)
            if not result.success:
                reached = ", ".join(stage for stage, has in result.stages.items() if has) or "nothing"
                writer.fail(f"{[*result.stages][-1]}: not after {result.length} steps; reached: {reached}")
        _run_of(policy, fps).write(path)
        return result


def _run_of(policy: Policy, fps: float) -> Run:
    """What a policy that remembers its `predictions` planned, and what the `watch` of one that has it saw."""
    chunks = [
        Chunk((step + every * np.arange(len(actions))) / fps, actions)
        for step, every, actions in getattr(policy, "predictions", ())
    ]
    watch: Watch | None = getattr(policy, "watch", None)
    if watch is None:
        return Run(chunks)
    alarms = [] if watch.alarm is None else [Alarm(watch.alarm.step / watch.rate, watch.alarm.text)]
    scores = scores_over([(seen.step / watch.rate, watch.judged(seen)) for seen in watch.seen])
    return Run(chunks, alarms=alarms, scores=scores)
