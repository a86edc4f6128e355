"""Corrections in the simulator: a policy acts until it fails, then the expert does, and what it did is recorded.

The expert stands for the person of HG-DAgger (Kelly et al. 2019, arXiv:1810.02890), who takes over where the policy is
about to fail and gives data of just those states; here a stated rule tells when.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np

from dp_hf.episodes.find import find_episodes, find_failure
from dp_hf.episodes.format import Actor
from dp_hf.episodes.writer import EpisodeWriter, repeatable_episode
from dp_hf.errors import UserError
from dp_hf.files import locked, user_path
from dp_hf.kept_lines import KeptLines
from dp_hf.simulation.environment import CONTROL_HZ
from dp_hf.simulation.expert import StackingExpert
from dp_hf.simulation.headless import MAX_EPISODE_STEPS
from dp_hf.simulation.layouts import DEMONSTRATIONS, layout_seeds
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.stacking import make_environment
from dp_hf.simulation.task import MakePolicy, Policy
from dp_hf.workers.workers import HERE, Workers

TRIED_FILE = "corrections.jsonl"

Outcome = Literal["succeeded", "corrected", "failed"]


@dataclass(frozen=True)
class Rules:
    """When the expert takes over, and what is recorded.

    Attributes:
        patience: seconds without a further stage of the task after which the policy has failed.
        before: seconds before the takeover that are recorded, too.
        noise: standard deviation of the expert's joint noise, degrees; see `StackingExpert`.
    """

    patience: float = 3.0
    before: float = 2.0
    noise: float = 0.5


@dataclass(frozen=True)
class CorrectionReport:
    """What is in the folder when all is done: layouts that were tried, by what came of them."""

    tried: int
    succeeded: int
    corrected: int
    failed: int

    def __str__(self) -> str:
        return (
            f"{self.corrected} corrections; of {self.tried} layouts the policy succeeded on {self.succeeded} without, "
            f"and {self.failed} corrections failed"
        )


class Corrected:
    """A policy in whose place the expert acts, from its failure to the end of the episode.

    Attributes:
        actor: who chose the last action.
    """

    def __init__(self, env: gymnasium.Env, policy: Policy, expert: StackingExpert, patience: float):
        self.env, self.policy, self.expert = env, policy, expert
        self.max_steps = round(patience * CONTROL_HZ)
        self.reset()

    def reset(self) -> None:
        self.policy.reset()
        self.actor: Actor = "policy"
        self._num_stages = self._steps = 0

    def __call__(self, image: Any, state: np.ndarray) -> np.ndarray:
        num_stages = sum(self.env.get_wrapper_attr("stages").values())
        self._steps = 0 if num_stages > self._num_stages else self._steps + 1
        self._num_stages = num_stages
        if self.actor == "policy" and self._steps > self.max_steps:
            self.actor = "person"
            self.expert.reset()
        return self.policy(image, state) if self.actor == "policy" else self.expert(image, state)

    def execute(self, action: np.ndarray) -> np.ndarray:
        return action if self.actor == "policy" else self.expert.add_noise(action)


def record_corrections(
    data_dir: str | Path,
    make_policy: MakePolicy,
    identity: Mapping[str, Any],
    num_episodes: int,
    first_seed: int = 0,
    max_layouts: int = 1000,
    rules: Rules = Rules(),
    environment: Mapping[str, Any] | None = None,
    workers: Workers = HERE,
) -> CorrectionReport:
    """Runs a policy on layout after layout until `data_dir` holds `num_episodes` corrections that succeeded.

    An episode begins shortly before the expert took over, and its frames say who acted. Layouts on which the policy
    succeeds leave none. The folder remembers the layouts that were tried (`corrections.jsonl`): a recording goes on.

    Args:
        data_dir: folder of episodes; made when absent.
        make_policy: the policy, see `run_rollouts`.
        identity: what tells the policy from others; JSON.
        first_seed: layouts are those of the seeds from here on, as demonstrations have them.
        max_layouts: layouts that are tried at most.
        environment: options of `CubeStackingEnv`.

    Raises:
        UserError: the folder holds other episodes, or corrections of another policy or by other rules, or another
            process records into it, or the seeds ran out.
    """
    if rules.patience * CONTROL_HZ >= MAX_EPISODE_STEPS:
        raise UserError(f"--patience {rules.patience:g}: an episode is over after {MAX_EPISODE_STEPS / CONTROL_HZ:g} s")
    folder = user_path(data_dir)
    options = dict(environment or {})
    with locked(folder):
        file = folder / TRIED_FILE
        if not file.exists() and find_episodes(folder):
            raise UserError(f"{folder} holds other episodes than corrections: give another --output_dir")
        possible = layout_seeds(DEMONSTRATIONS, first_seed)
        setup = partial(_Corrector, folder, make_policy, rules, options)
        with KeptLines(file, {**identity, **asdict(rules), "environment": options}, "corrections") as kept:
            while (missing := num_episodes - _count(kept, "corrected")) > 0 and len(kept.records) < max_layouts:
                tried = {record["seed"] for record in kept.records}
                seeds = list(islice((s for s in possible if s not in tried), min(missing, max_layouts - len(tried))))
                if not seeds:
                    raise UserError(f"no layouts are left from {first_seed} on: give a smaller --layout_seed")
                for seed, outcome in workers.as_finished(setup, seeds, "correcting"):
                    kept.append({"seed": seed, "outcome": outcome})
            counts: Sequence[int] = [_count(kept, outcome) for outcome in ("succeeded", "corrected", "failed")]
            return CorrectionReport(len(kept.records), *counts)


def _count(kept: KeptLines, outcome: Outcome) -> int:
    try:
        return sum(record["outcome"] == outcome for record in kept.records)
    except KeyError as error:
        raise kept.damaged(error) from error


class _Corrector:
    """One process' share: tries the layout of a seed, and records its correction if it needs one."""

    def __init__(self, data_dir: Path, make_policy: MakePolicy, rules: Rules, environment: dict[str, Any]):
        self.data_dir, self.make_policy, self.rules = data_dir, make_policy, rules
        self.env = make_environment(**environment)

    def __call__(self, seed: int) -> Outcome:
        name = f"episode_{seed:07d}"
        if (finished := self.data_dir / name).exists():  # by a worker that died before it could say so
            return "corrected" if find_failure(finished) is None else "failed"
        with repeatable_episode(self.data_dir, name) as writer:
            return self._record(seed, writer)

    def _record(self, seed: int, writer: EpisodeWriter) -> Outcome:
        expert = StackingExpert(self.env, self.rules.noise)
        policy = Corrected(self.env, self.make_policy(self.env, seed), expert, self.rules.patience)
        before: deque[tuple] = deque(maxlen=round(self.rules.before * CONTROL_HZ))

        def keep(image: Any, state: np.ndarray, action: np.ndarray) -> None:
            if policy.actor == "policy":
                before.append((image, state, action, "policy"))
                return
            for picture, numbers, chosen, actor in (*before, (image, state, action, policy.actor)):
                writer.add_frame(picture, numbers, chosen, writer.num_frames / CONTROL_HZ, actor)
            before.clear()

        result = rollout(self.env, policy, seed, execute=policy.execute, on_step=keep)
        if policy.actor == "policy":
            writer.drop()
            return "succeeded" if result.success else "failed"
        if not result.success:
            writer.fail(f"not stacked after {result.length} steps")
        return "corrected" if result.success else "failed"
