"""What a controller must know of a policy, wherever it runs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.pipelines.execution import Execution, choose_execution

# What another computer may ask of this one: pixels of an image's side, and numbers, steps and cameras.
MAX_SIDE = 4096
MAX_COUNT = 1024


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
    max_prefix: int = 0
    recorded_aspects: Sequence[float] | None = None
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

    @classmethod
    def from_message(cls, values: Any) -> "PolicySettings":
        """From what another computer sent.

        Raises:
            UserError: these are no settings, or none that can be.
        """
        try:
            settings = cls(**values)
        except TypeError as error:
            raise UserError(f"these are no settings of a policy: {error}") from error
        names = ("n_obs_steps", "horizon", "n_action_steps", "state_dim", "action_dim")
        counts = {name: getattr(settings, name) for name in names}
        _require(counts, all(_is_whole(count, MAX_COUNT) for count in counts.values()))
        most = settings.max_prefix
        _require({"max_prefix": most}, most == 0 or (_is_whole(most, settings.horizon - 1)))
        size, cameras, fps = settings.image_size, settings.camera_names, settings.fps
        _require({"image_size": size}, _is_list(size) and len(size) == 2 and all(_is_whole(n, MAX_SIDE) for n in size))
        _require({"camera_names": cameras}, _is_list(cameras) and bool(cameras) and _are_texts(cameras))
        _require({"fps": fps}, _is_number(fps) and fps > 0)
        _require({"use_proprioception": settings.use_proprioception}, isinstance(settings.use_proprioception, bool))
        _require(
            {"temporal_ensemble": settings.temporal_ensemble},
            settings.temporal_ensemble is None or _is_number(settings.temporal_ensemble),
        )
        aspects = settings.recorded_aspects
        _require(
            {"recorded_aspects": aspects},
            aspects is None
            or (_is_list(aspects) and len(aspects) == len(cameras) and all(_is_number(n) and n > 0 for n in aspects)),
        )
        for name in ("state_names", "state_units", "action_names", "action_units"):
            texts = getattr(settings, name)
            _require({name: texts}, texts is None or (_is_list(texts) and _are_texts(texts)))
        quantities_of(settings, "state")
        quantities_of(settings, "action")
        settings.execution()
        return settings

    def execution(self, n_action_steps: int | None = None) -> Execution:
        """How chunks are executed, see `choose_execution`; `n_action_steps` wins over the policy's own way."""
        return choose_execution(self, n_action_steps)._replace(max_prefix=self.max_prefix)


def _require(values: dict[str, Any], is_possible: bool) -> None:
    if not is_possible:
        given = ", ".join(f"{name} {str(value)[:80]}" for name, value in values.items())
        raise UserError(f"these are no settings of a policy: {given}")


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
