"""How far few demonstrations go where nothing has to be seen: a plain network that is told where the cubes are.

python scripts/benchmarks/true_positions.py --demonstrations 10 25 50

The network regresses the chunk of actions from the joints, the cubes' true positions and the yellow one's yaw.
Demonstrations are those of `dp-hf record-demonstrations --noise 0.5`, without pictures. What it fails at with few of
them is not a matter of seeing.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import gymnasium
import numpy as np
import torch
from measuring import machine, report
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from dp_hf.cli.arguments import parse, run
from dp_hf.pipelines.execution import ensemble_weights
from dp_hf.ranges import Range
from dp_hf.simulation.expert import StackingExpert, cube_yaw
from dp_hf.simulation.layouts import DEMONSTRATIONS, EVALUATION, layout_seeds
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.stacking import make_environment
from dp_hf.success.rates import wilson

HORIZON, HIDDEN, BATCH = 16, 256, 128
TEMPORAL_ENSEMBLE = 0.01  # as in stack_cpu.yaml
NOISE = 0.5  # degrees

Observe = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
OBSERVATIONS: dict[str, Observe] = {
    "positions": lambda yellow, orange, tool: np.r_[yellow, orange],
    "relative to the tool": lambda yellow, orange, tool: np.r_[yellow - tool, orange - tool],
    "both": lambda yellow, orange, tool: np.r_[yellow, orange, yellow - tool, orange - tool],
}


@dataclass
class TruePositions:
    """Trains networks that are told the cubes' positions, and measures how often they stack."""

    demonstrations: tuple[Annotated[int, Range(1)], ...] = (10, 25, 50)
    """Numbers of demonstrations."""
    episodes: Annotated[int, Range(1)] = 100
    """Rollouts of each."""
    first_layout: Annotated[int, Range(0)] = 0
    """First evaluation layout, as --layout_seed of `dp-hf evaluate`."""
    updates: Annotated[int, Range(1)] = 3000
    """Of each training."""
    networks: Annotated[int, Range(1)] = 1
    """Trained one by one; their chunks are averaged."""
    seed: int = 0
    """Of the networks and the order of batches."""
    json: bool = False
    """Print JSON instead of a table."""


def main(argv: list[str] | None = None) -> int:
    return run(benchmark, parse(TruePositions, argv, "true_positions.py"))


def benchmark(arguments: TruePositions) -> None:
    env = make_environment(cameras=())
    rows = []
    for count in arguments.demonstrations:
        for name, observe in OBSERVATIONS.items():
            observer = Observer(env, observe)
            observations, chunks = demonstrated(observer, count)
            policy = Policy(observer, observations, chunks, arguments)
            reached: Counter[str] = Counter()
            seeds = layout_seeds(EVALUATION, arguments.first_layout, arguments.episodes)
            for seed in tqdm(seeds, f"{count} demonstrations, {name}", leave=False):
                reached.update(stage for stage, has in rollout(env, policy, seed).stages.items() if has)
            stages = {stage: wilson(reached[stage], arguments.episodes) for stage in ("reached", "lifted", "stacked")}
            rows.append({"demonstrations": count, "told": name, **{stage: str(rate) for stage, rate in stages.items()}})
    report({"machine": machine(), "tables": {f"{arguments.episodes} layouts": rows}}, arguments.json)


class Observer:
    """What the network is told in an environment's present state."""

    def __init__(self, env: gymnasium.Env, observe: Observe):
        self.env, self.observe = env, observe

    def __call__(self, state: np.ndarray) -> np.ndarray:
        scene = self.env.unwrapped
        # Numbers of about one; a cube's yaw is the same every quarter of a turn.
        positions = 10 * self.observe(scene.yellow.xpos, scene.orange.xpos, scene.tool.xpos)
        yaw = 4 * cube_yaw(scene.yellow.xquat)
        return np.r_[positions, np.cos(yaw), np.sin(yaw), state / 90].astype(np.float32)


def demonstrated(observer: Observer, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Observations (N, n) and chunks (N, HORIZON, 7) of so many demonstrations that succeeded."""
    expert = StackingExpert(observer.env, NOISE)
    observations: list[np.ndarray] = []
    chunks: list[np.ndarray] = []
    num_done = 0
    for seed in layout_seeds(DEMONSTRATIONS, 0):
        seen: list[np.ndarray] = []
        actions: list[np.ndarray] = []

        def keep(image, state, action, seen=seen, actions=actions):
            seen.append(observer(state))
            actions.append(action)

        if rollout(observer.env, expert, seed, expert.add_noise, keep).success:
            ahead = np.minimum(np.arange(len(actions))[:, None] + np.arange(HORIZON), len(actions) - 1)
            observations += seen
            chunks += [*np.array(actions)[ahead]]
            num_done += 1
        if num_done == count:
            break
    return np.array(observations), np.array(chunks, np.float32)


class Policy:
    """Networks trained on the demonstrations; their chunks averaged over networks and over time."""

    def __init__(self, observer: Observer, observations: np.ndarray, chunks: np.ndarray, arguments: TruePositions):
        self.observer = observer
        self.mean, self.scale = chunks.mean((0, 1)), chunks.std((0, 1)) + 1e-6
        self.offset, self.spread = observations.mean(0), observations.std(0) + 1e-3
        inputs = torch.from_numpy((observations - self.offset) / self.spread)
        targets = torch.from_numpy((chunks - self.mean) / self.scale).flatten(1)
        seeds = range(arguments.seed, arguments.seed + arguments.networks)
        self.networks = [trained(inputs, targets, arguments.updates, seed) for seed in seeds]

    def reset(self) -> None:
        self.chunks: list[np.ndarray] = []

    @torch.no_grad()
    def __call__(self, image, state: np.ndarray) -> np.ndarray:
        inputs = torch.from_numpy((self.observer(state) - self.offset) / self.spread)
        chunk = np.mean([network(inputs).numpy() for network in self.networks], axis=0).reshape(HORIZON, -1)
        self.chunks = [chunk * self.scale + self.mean, *self.chunks[: HORIZON - 1]]
        weights = ensemble_weights(len(self.chunks), TEMPORAL_ENSEMBLE)
        return np.average([chunk[age] for age, chunk in enumerate(self.chunks)], axis=0, weights=weights)


def trained(inputs: torch.Tensor, targets: torch.Tensor, updates: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    widths = [inputs.shape[1], HIDDEN, HIDDEN, HIDDEN]
    layers = [layer for sizes in pairwise(widths) for layer in (nn.Linear(*sizes), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(HIDDEN, targets.shape[1]))
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, updates)
    for _ in range(updates):
        rows = torch.randint(len(inputs), (BATCH,))
        optimizer.zero_grad()
        F.mse_loss(network(inputs[rows]), targets[rows]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


if __name__ == "__main__":
    sys.exit(main())
