"""Closed-loop rollouts: one episode, or many over processes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from dp_hf.cameras import as_frame, by_camera
from dp_hf.simulation.task import MakePolicy, Policy, Task
from dp_hf.workers.workers import HERE, Workers

OnStep = Callable[[Any, np.ndarray, np.ndarray], None]
"""Called before every step with the image(s), the state and the policy's action."""

SMALL_FRAME = 128  # pixels of height; larger frames are halved for the video


@dataclass
class RolloutResult:
    """What came of one episode.

    Attributes:
        seed: of the layout.
        length: control steps.
        stages: which of the task's stages happened, in order; the last one is the success.
        latencies: seconds that each prediction took, where the policy keeps them in an attribute `latencies`.
        frames: images of the first camera, large ones at half size, uint8 (H, W, 3), if asked for.
        alarm: the fields of a `RunRecord`, where the policy keeps one in an attribute `alarm`.
    """

    seed: int
    length: int
    stages: dict[str, bool]
    latencies: list[float] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)
    alarm: dict[str, Any] | None = None

    @property
    def success(self) -> bool:
        return [*self.stages.values()][-1]


def rollout(
    env: gymnasium.Env,
    policy: Policy,
    seed: int,
    execute: Callable[[np.ndarray], np.ndarray] | None = None,
    on_step: OnStep | None = None,
) -> RolloutResult:
    """Runs one episode to its end.

    Args:
        env: a task's, see `Task`.
        policy: chooses the actions.
        seed: chooses the layout.
        execute: turns the policy's action into the one that is executed; default the same.
        on_step: see `OnStep`.
    """
    observation, _ = env.reset(seed=seed)
    policy.reset()
    length, done = 0, False
    while not done:
        image, state = split_observation(observation)
        action = policy(image, state)
        if on_step is not None:
            on_step(image, state, action)
        observation, _, terminated, truncated, _ = env.step(execute(action) if execute else action)
        length += 1
        done = terminated or truncated
    latencies, alarm = list(getattr(policy, "latencies", ())), getattr(policy, "alarm", None)
    return RolloutResult(seed, length, dict(env.get_wrapper_attr("stages")), latencies, alarm=alarm)


def filmed_rollout(env: gymnasium.Env, policy: Policy, seed: int, on_step: OnStep | None = None) -> RolloutResult:
    """As `rollout`, and the result has the frames."""
    frames: list[np.ndarray] = []

    def keep_frame(image, state, action):
        if on_step is not None:
            on_step(image, state, action)
        first = next(iter(by_camera(image).values()))
        frames.append(np.asarray(Image.fromarray(first).reduce(2)) if len(first) > SMALL_FRAME else first)

    result = rollout(env, policy, seed, on_step=keep_frame)
    result.frames = frames
    return result


def split_observation(observation: Mapping[str, np.ndarray]) -> tuple[Any, np.ndarray]:
    """Image(s) as policies take them, and the state (n,)."""
    images = {key: value for key, value in observation.items() if key != "state"}
    return as_frame(images) if images else None, observation["state"]


def run_rollouts(
    task: Task,
    make_policy: MakePolicy,
    seeds: Iterable[int],
    environment: Mapping[str, Any] | None = None,
    workers: Workers = HERE,
    description: str = "rollouts",
) -> list[RolloutResult]:
    """Runs an episode for each seed.

    Args:
        task: what is to be done.
        make_policy: called with the environment and the seed for every episode; for other processes it must be a
            function of a module, or a `functools.partial` of one.
        environment: options of the task's environment.
        workers: where they run.

    Returns:
        The results in the order of the seeds.
    """
    return workers.map(partial(_Rollouts, task, make_policy, dict(environment or {})), [*seeds], description)


class _Rollouts:
    """One process' share: an environment that is made once."""

    def __init__(self, task: Task, make_policy: MakePolicy, environment: dict[str, Any]):
        self.env = task.make_environment(**environment)
        self.make_policy = make_policy

    def __call__(self, seed: int) -> RolloutResult:
        return rollout(self.env, self.make_policy(self.env, seed), seed)
