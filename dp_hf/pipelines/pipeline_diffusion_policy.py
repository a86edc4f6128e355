"""`DiffusionPolicyPipeline`: an image in, a chunk of robot actions out."""

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, SchedulerMixin
from diffusers.utils import BaseOutput

from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.models.normalizer import Normalizer
from dp_hf.models.onnx_policy import OnnxPolicy
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.pipelines.arguments import one_callback
from dp_hf.pipelines.fast.denoising import denoise_fast
from dp_hf.pipelines.fast.encoder import InferenceEncoder
from dp_hf.pipelines.folder import require_widths
from dp_hf.pipelines.inputs import (
    Frame,
    Generator,
    Numbers,
    prepare_callback,
    prepare_generator,
    prepare_images,
    prepare_latents,
    prepare_prefix,
    prepare_state,
    repeat_for_samples,
    require_steps,
    require_supported,
)
from dp_hf.pipelines.pretrained import PretrainedPipeline
from dp_hf.pipelines.saved_parts import require_names


@dataclass
class DiffusionPolicyOutput(BaseOutput):
    """Predicted actions.

    Args:
        actions: (B * num_samples, horizon, action_dim) float32, in `units`; a myCobot's are joint angles in degrees,
            then the gripper, 0 (closed) to 100 (open).
        names, units: of the numbers of an action.
        image_features: (B, n_obs_steps, F) float32, what the encoder made of the image(s), camera after camera.
    """

    actions: np.ndarray | torch.Tensor
    names: tuple[str, ...]
    units: tuple[str, ...]
    image_features: np.ndarray | torch.Tensor


class DiffusionPolicyPipeline(PretrainedPipeline):
    """A trained policy with its noise scheduler and normalizer.

    ```python
    pipeline = DiffusionPolicyPipeline.from_pretrained("outputs/stack/final")
    action = pipeline("frame.png").actions[0, 0]  # a myCobot's six angles in degrees and gripper, 0..100
    ```

    It may be called from several threads at once.

    Args:
        policy: the network.
        scheduler: DDPM, DDIM, DPM-Solver++ or UniPC; `type(other).from_config(pipeline.scheduler.config)` swaps it.
        normalizer: statistics of the training data.
        num_inference_steps: denoising steps when a call names none; None is as many as the policy was trained with.
    """

    model_cpu_offload_seq = "policy"
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012
    policy: DiffusionPolicyModel | OnnxPolicy
    scheduler: SchedulerMixin
    normalizer: Normalizer

    def __init__(
        self,
        policy: Union[DiffusionPolicyModel, OnnxPolicy],  # noqa: UP007, diffusers 0.35 cannot read `A | B`
        scheduler: SchedulerMixin,
        normalizer: Normalizer,
        num_inference_steps: Optional[int] = None,  # noqa: UP045
    ):
        super().__init__()
        require_supported(scheduler)
        if num_inference_steps is not None:
            num_inference_steps = require_steps(num_inference_steps, scheduler)
        normalizer.require_statistics()
        require_names(policy.config)
        require_widths(policy.config, normalizer)
        policy.eval()
        self.register_modules(policy=policy, scheduler=scheduler, normalizer=normalizer)
        self.register_to_config(num_inference_steps=num_inference_steps)
        self._inference_encoder: InferenceEncoder | None = None

    @property
    def components(self) -> dict[str, Any]:
        """What `DiffusionPolicyPipeline(**pipeline.components)` takes to act as this one does."""
        return super().components | {"num_inference_steps": self.config.num_inference_steps}

    @torch.no_grad()
    def __call__(
        self,
        image: "Frame | list[Frame] | list[list[Frame]]",
        state: "Numbers | None" = None,
        num_inference_steps: int | None = None,
        generator: Generator = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback: Callable[[int, int, torch.Tensor], None] | None = None,
        latents: "np.ndarray | torch.Tensor | None" = None,
        num_samples: int = 1,
        callback_on_step_end: Callable[..., dict | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        prefix: "Numbers | None" = None,
    ) -> DiffusionPolicyOutput | tuple:
        """Predicts a chunk of actions.

        Args:
            image: a PIL image, a path, a uint8 array (H, W, 3) or a tensor (3, H, W); for several cameras a dict from
                camera name to image; a list of these is a batch. A policy that observes several steps takes a list of
                its last `n_obs_steps` frames, the latest last, for each of the batch; a single frame is repeated.
            state: the robot's own, in the units of `policy.config.state_units`, (state_dim,), (B, state_dim) or
                (B, n_obs_steps, state_dim), where the policy uses it.
            num_inference_steps: denoising steps, 1 to as many as the policy was trained with.
            generator: makes the result reproducible: a torch.Generator, or a seed for one; a list has one for each of
                the B * num_samples chunks.
            output_type: `np` or `pt`.
            callback: called after each denoising step with (step index, timestep, normalised noisy actions).
            latents: the noise that sampling starts from, (B * num_samples, horizon, action_dim), normal with mean 0
                and variance 1; None draws it by `generator`.
            num_samples: chunks for each image, which is encoded once; they are next to each other in the result.
            callback_on_step_end: called after each denoising step with (pipeline, step index, timestep, tensors), as
                in diffusers; where it returns a dict, the next step begins with its `latents`.
            callback_on_step_end_tensor_inputs: which `tensors` it gets: `latents`, the normalised noisy actions.
            prefix: actions that are committed already, the first n of the chunk, in the units of the actions:
                (n, action_dim) or (B, n, action_dim), n up to the `max_prefix` that the policy learned with. The chunk
                begins with them and goes on from them.

        Raises:
            UserError: an argument of another kind, shape or range, or a missing camera, named.
        """
        if not isinstance(output_type, str) or output_type not in ("np", "pt"):
            raise UserError(f"output_type is 'np' or 'pt'; got {output_type!r}")
        step_end = one_callback(callback, callback_on_step_end, callback_on_step_end_tensor_inputs)
        config, device = self.policy.config, self._execution_device
        images = prepare_images(image, config)
        states = prepare_state(state, config, len(images)).to(device) if config.use_proprioception else None

        features = self.policy.encode_images(images.to(device), self._inference_encoder)
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
        features = features.float()
        if output_type == "np":
            actions, features = actions.cpu().numpy(), features.cpu().numpy()
        if not return_dict:
            return (actions,)
        quantities = quantities_of(config, "action")
        return DiffusionPolicyOutput(actions, quantities.names, quantities.units, features)

    @torch.no_grad()
    def sample(
        self,
        image_features: torch.Tensor,
        state: torch.Tensor | None = None,
        num_inference_steps: int | None = None,
        generator: Generator = None,
        latents: "np.ndarray | torch.Tensor | None" = None,
        num_samples: int = 1,
        callback_on_step_end: Callable[..., dict | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        fast: bool = True,
        prefix: "Numbers | None" = None,
    ) -> torch.Tensor:
        """Samples chunks of actions for observations that are encoded already: from noise, denoising step by step.

        Args:
            image_features: (B, n_obs_steps, F), of `policy.encode_images`.
            state: (B, n_obs_steps, state_dim) in the robot's units, where the policy uses it.
            fast: may take the detour; False is the plain loop.
            the rest: as in `__call__`.

        Returns:
            (B * num_samples, horizon, action_dim) float32, in the robot's units.
        """
        policy, scheduler, device = self.policy, _copy_for_a_call(self.scheduler), image_features.device
        if state is not None:
            state = self.normalizer.normalize(state, "state")
        observation = repeat_for_samples(policy.observation_features(image_features, state), num_samples)

        if num_inference_steps is None:
            num_inference_steps = self.config.num_inference_steps
        if num_inference_steps is None:
            num_inference_steps = scheduler.config.num_train_timesteps
        scheduler.set_timesteps(require_steps(num_inference_steps, scheduler), device=device)
        generator = prepare_generator(generator, len(observation), device)
        shape = (len(observation), policy.config.horizon, policy.config.action_dim)
        actions = prepare_latents(latents, shape, generator, device) * scheduler.init_noise_sigma
        committed = prepare_prefix(prefix, policy.config, len(observation), num_samples).to(device)
        count = committed.shape[1]
        actions[:, :count] = self.normalizer.normalize(committed, "action")
        is_committed = (torch.arange(shape[1], device=device) < count).expand(shape[:2])
        observation = policy.with_prefix(observation, actions, is_committed)
        step_end = prepare_callback(self, callback_on_step_end, callback_on_step_end_tensor_inputs)

        # A detour that gives what the loop below gives, sooner; None where it does not lead, see pipelines/fast/.
        sooner = denoise_fast(policy, observation, scheduler, actions, generator, step_end, count) if fast else None
        if sooner is not None:
            return self._in_units(sooner, committed)

        takes_generator = "generator" in inspect.signature(scheduler.step).parameters
        step_kwargs = {"generator": generator} if takes_generator else {}
        for index, timestep in enumerate(scheduler.timesteps):
            model_input = scheduler.scale_model_input(actions, timestep).to(policy.dtype)
            prediction = policy.denoise(model_input, timestep.expand(len(actions)), observation).float()
            denoised = scheduler.step(prediction, timestep, actions, **step_kwargs).prev_sample
            denoised[:, :count] = actions[:, :count]
            actions = denoised
            if step_end is not None:
                actions = step_end(index, timestep, actions)
        return self._in_units(actions, committed)

    def _in_units(self, actions: torch.Tensor, committed: torch.Tensor) -> torch.Tensor:
        """Normalised actions in the robot's units, the committed ones (B, n, action_dim) as they were given."""
        result = self.normalizer.unnormalize(actions, "action")
        result[:, : committed.shape[1]] = committed
        return result

    def optimize_for_inference(self, dtype: torch.dtype | None = torch.bfloat16) -> "DiffusionPolicyPipeline":
        """Encodes images by a faster copy of the encoder: batch norms folded, channels-last, in `dtype`.

        The copy is for inference: it follows the encoder's weights and is not saved. bfloat16 takes about half the
        time of float32 on a CPU that computes in it (AVX512-BF16, more with AMX), and changes a ResNet34's features by
        0.3 % of their norm; float32 changes them by rounding alone. scripts/benchmarks/sampling.py measures both.

        Args:
            dtype: what the backbone computes in; None goes back to the encoder itself.

        Returns:
            the pipeline.
        """
        if isinstance(self.policy, OnnxPolicy):
            raise UserError("onnxruntime optimizes a policy itself when it loads it")
        self._inference_encoder = None if dtype is None else InferenceEncoder(self.policy.encoder, dtype)
        return self


def _copy_for_a_call(scheduler: SchedulerMixin) -> SchedulerMixin:
    """A scheduler of the call's own, because it keeps its place and calls may overlap.

    DDPM and DDIM keep nothing but their timesteps, which they replace: copying what they refer to would cost 0.1 ms.
    """
    return (copy.copy if type(scheduler) in (DDPMScheduler, DDIMScheduler) else copy.deepcopy)(scheduler)
