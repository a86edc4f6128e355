"""What a controller must know of a policy, wherever it runs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
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
    state_dim: int
    action_dim: int
    state_names: Sequence[str] | None = None
    state_units: Sequence[str] | None = None
    action_names: Sequence[str] | None = None
    action_units: Sequence[str] | None = None

    def __post_init__(self):
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))

    @classmethod
    def from_config(cls, config: Any) -> "PolicySettings":
        """From any object with these attributes; those that have a default may be absent."""
        names = [field.name for field in fields(cls) if hasattr(config, field.name)]
        return cls(**{name: getattr(config, name) for name in names})

    def execution(self, n_action_steps: int | None = None) -> Execution:
        """How chunks are executed, see `choose_execution`; `n_action_steps` wins over the policy's own way."""
        return choose_execution(self, n_action_steps)
