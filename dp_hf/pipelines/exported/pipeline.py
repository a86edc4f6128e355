"""`DiffusionPolicyPipeline` where torch is not: the same call, by onnxruntime and numpy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dp_hf.alarm.limits import AlarmLimits
from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.files import user_place
from dp_hf.pipelines.alarm_folder import read_alarm
from dp_hf.pipelines.arguments import (
    as_float32,
    one_callback,
    one_or_each,
    require_count,
    require_noise,
    spread_prefix,
    spread_state,
    stack_images,
    step_end_of,
)
from dp_hf.pipelines.exported.noise import as_noise, draw
from dp_hf.pipelines.exported.parts import ExportedPolicy, read_schedule
from dp_hf.pipelines.exported.statistics import Statistics
from dp_hf.pipelines.folder import is_exported, read_index, require_loadable, require_widths
from dp_hf.pipelines.schedule import DDIMSchedule, DDPMSchedule, StepTable


@dataclass
class DiffusionPolicyOutput:
    """Predicted actions.

    Args:
        actions: (B * num_samples, horizon, action_dim) float32, in `units`.
        names, units: of the numbers of an action.
        image_features: (B, n_obs_steps, F) float32, what the encoder made of the image(s), camera after camera.
    """

    actions: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    image_features: np.ndarray

    def to_tuple(self) -> tuple:
        return self.actions, self.names, self.units, self.image_features

    def __getitem__(self, key: "str | int | slice") -> Any:
        """A field by its name or position, as in diffusers."""
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]


class DiffusionPolicyPipeline:
    """An exported policy with its noise schedule and statistics, called as the pipeline it was made from.

    ```python
    pipeline = DiffusionPolicyPipeline.from_pretrained("exported")
    action = pipeline("frame.png").actions[0, 0]  # a myCobot's six angles in degrees and gripper, 0..100
    ```

    Equal noise gives the actions of the pipeline with torch, to 1e-5 of their range. It may be called from several
    threads at once.

    Attributes:
        policy, scheduler, normalizer: the parts, each with a `config`, or itself one.
        config: has `num_inference_steps`, None for as many as the policy was trained with.
        alarm: when its scores are strange; None where nobody has measured that.
    """

    alarm: AlarmLimits | None = None

    def __init__(
        self,
        policy: ExportedPolicy,
        scheduler: DDPMSchedule | DDIMSchedule,
        normalizer: Statistics,
        num_inference_steps: int | None = None,
    ):
        require_widths(policy.config, normalizer)
        self.policy, self.scheduler, self.normalizer = policy, scheduler, normalizer
        if num_inference_steps is not None:
            num_inference_steps = self._require_steps(num_inference_steps)
        self.config = SimpleNamespace(num_inference_steps=num_inference_steps)
        self._step_table(num_inference_steps)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, backend: str | None = None, **kwargs: Any
    ) -> "DiffusionPolicyPipeline":
        """Opens a folder that `dp-hf export-policy` has written.

        Args:
            backend: None or `onnx`, which it is.
            kwargs: there are none without torch.

        Raises:
            UserError: another pipeline, or none; a file that is absent, damaged or of another export; an option that
                this version does not know, or that only torch can run.
        """
        source = user_place(str(pretrained_model_name_or_path))
        require_loadable(source)
        if not is_exported(source):
            raise UserError(f"{source} is for torch; dp-hf export-policy makes one for onnx")
        if backend not in (None, "onnx"):
            raise UserError(f"{source} is for onnx, not for {backend}")
        if kwargs:
            raise UserError(f"without torch, from_pretrained has no option {next(iter(kwargs))}")
        folder = Path(source)
        index = read_index(folder)
        policy = ExportedPolicy(folder / "policy")
        scheduler = read_schedule(folder / "scheduler", index["scheduler"][1])
        try:
            pipeline = cls(policy, scheduler, Statistics(folder / "normalizer"), index["num_inference_steps"])
            pipeline.alarm = read_alarm(folder, policy.config)
            return pipeline
        except UserError as error:
            raise error if source in str(error) else UserError(f"{source}: {error}") from error

    def __call__(
        self,
        image: Any,
        state: Any = None,
        num_inference_steps: int | None = None,
        generator: Any = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback: Callable[[int, int, np.ndarray], None] | None = None,
        latents: "np.ndarray | None" = None,
        num_samples: int = 1,
        callback_on_step_end: Callable[..., dict | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        prefix: Any = None,
    ) -> DiffusionPolicyOutput | tuple:
        """Predicts a chunk of actions.

        The arguments are those of the pipeline with torch, with arrays for its tensors, but for these.

        Args:
            generator: a seed, which means the noise that it means to torch, or a `numpy.random.Generator`; a list has
                one for each of the B * num_samples chunks.
            output_type: `np`.

        Raises:
            UserError: an argument of another kind, shape or range, or a missing camera, named.
        """
        if output_type != "np":
            raise UserError(f"output_type is 'np' where there is no torch; got {output_type!r}")
        step_end = one_callback(callback, callback_on_step_end, callback_on_step_end_tensor_inputs)
        config = self.policy.config
        images = stack_images(image, config)
        states = None
        if config.use_proprioception:
            states = spread_state(None if state is None else as_float32(state, "state"), config, len(images))
        features = self.policy.encode_images(images)
        actions = self.sample(
            features,
            states,
            num_inference_steps,
            generator,
            latents,
            num_samples,
            *step_end,
            prefix=prefix,
        )
        if not return_dict:
            return (actions,)
        quantities = quantities_of(config, "action")
        return DiffusionPolicyOutput(actions, quantities.names, quantities.units, features)

    def sample(
        self,
        image_features: np.ndarray,
        state: np.ndarray | None = None,
        num_inference_steps: int | None = None,
        generator: Any = None,
        latents: "np.ndarray | None" = None,
        num_samples: int = 1,
        callback_on_step_end: Callable[..., dict | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        prefix: Any = None,
    ) -> np.ndarray:
        """Samples chunks of actions for observations that are encoded already: from noise, denoising step by step.

        Args:
            image_features: (B, n_obs_steps, F), of `policy.encode_images`.
            state: (B, n_obs_steps, state_dim) in the robot's units, where the policy uses it.
            the rest: as in `__call__`.

        Returns:
            (B * num_samples, horizon, action_dim) float32, in the robot's units.
        """
        config = self.policy.config
        if state is not None:
            state = self.normalizer.normalize(state, "state")
        observation = self.policy.observation_features(image_features, state)
        observation = observation.repeat(require_count(num_samples, "num_samples"), axis=0)
        table = self._step_table(num_inference_steps)
        shape = (len(observation), config.horizon, config.action_dim)
        generators = one_or_each(generator, len(observation), as_noise) or [np.random.default_rng()]
        actions = draw(generators, shape) if latents is None else require_noise(as_float32(latents, "latents"), shape)
        given = None if prefix is None else as_float32(prefix, "prefix")
        committed = spread_prefix(given, config, len(image_features)).repeat(num_samples, axis=0)
        count = committed.shape[1]
        actions[:, :count] = self.normalizer.normalize(committed, "action")
        observation = self.policy.with_prefix(observation, actions, count)
        step_end = None
        if callback_on_step_end is not None:
            step_end = step_end_of(self, callback_on_step_end, callback_on_step_end_tensor_inputs, _like)

        rows = zip(table.timesteps, table.coefficients, table.sigma, strict=True)
        for index, (timestep, (a, b, c, d, e), sigma) in enumerate(rows):
            timesteps = np.full(len(actions), timestep)
            prediction = self.policy.denoise(actions, timesteps, observation)
            clean = (a * actions + b * prediction).clip(-table.clip, table.clip)
            denoised = c * clean + d * actions + e * prediction
            if index < table.draws:
                denoised += sigma * draw(generators, shape)
            denoised[:, :count] = actions[:, :count]
            actions = denoised
            if step_end is not None:
                actions = step_end(index, timestep, actions)
        result = self.normalizer.unnormalize(actions, "action")
        result[:, :count] = committed
        return result

    def _step_table(self, num_inference_steps: int | None) -> StepTable[np.ndarray]:
        if num_inference_steps is None:
            num_inference_steps = self.config.num_inference_steps
        if num_inference_steps is None:
            num_inference_steps = self.scheduler.num_train_timesteps
        return self.scheduler.steps(self._require_steps(num_inference_steps))

    def _require_steps(self, steps: Any) -> int:
        return require_count(steps, "num_inference_steps", self.scheduler.num_train_timesteps)


def _like(returned: Any, latents: np.ndarray) -> np.ndarray:
    replaced = as_float32(returned, "what callback_on_step_end returns as latents")
    if replaced.shape != latents.shape:
        raise UserError(f"callback_on_step_end returned latents {replaced.shape}, not an array {latents.shape}")
    return replaced
