"""What a controller must know of a policy, wherever it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dp_hf.pipelines.execution import Execution, choose_execution


@dataclass(frozen=True)
class PolicySettings:
    """Of a policy's config: see `dp_hf.models.policy.DiffusionPolicyModel`."""

    fps: float
    n_obs_steps: int
    n_action_steps: int
    temporal_ensemble: float | None
    horizon: int
    camera_names: Sequence[str]
    image_size: Sequence[int]
    use_proprioception: bool

    def __post_init__(self):
        for name in ("camera_names", "image_size"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def from_config(cls, config: Any) -> "PolicySettings":
        """From any object with these attributes."""
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})

    def execution(self, n_action_steps: int | None = None) -> Execution:
        """How chunks are executed, see `choose_execution`; `n_action_steps` wins over the policy's own way."""
        return choose_execution(self, n_action_steps)
