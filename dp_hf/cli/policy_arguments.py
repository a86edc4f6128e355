"""The arguments of commands that run a policy in real time."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from dp_hf.errors import UserError
from dp_hf.ranges import Range

if TYPE_CHECKING:
    from dp_hf.alarm.limits import AlarmLimits
    from dp_hf.control.planner import Policy
    from dp_hf.control.policy_settings import PolicySettings

TOKEN_VARIABLE = "DP_HF_TOKEN"


@dataclass(kw_only=True)
class PolicyArguments:
    """Which pipeline, and how it samples."""

    num_inference_steps: Annotated[int, Range(1)] | None = None
    """denoising steps; default the pipeline's"""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """of the noise that samples start from"""
    bf16_encoder: bool = False
    """encode images in bfloat16: about twice as fast on a CPU with AVX512-BF16 or AMX"""
    device: str | None = None
    """torch device, such as cuda; default a GPU where there is one"""
    token_file: Path | None = None
    """file that holds the policy server's token; default the environment variable DP_HF_TOKEN"""
    verbose: bool = False
    """log every detail, and the tracebacks of errors"""

    def load_policy(self, source: str) -> "tuple[Policy, PolicySettings, AlarmLimits | None]":
        """The pipeline in a folder or Hub repository, sampling as the arguments say, what a controller must know of it,
        and by what limits it is watched.

        An exported one is run without torch, whether it is installed or not; a seed means the same.
        """
        from dp_hf.control.policy_settings import PolicySettings
        from dp_hf.pipelines.folder import is_exported, require_loadable

        require_loadable(source)
        pipeline, noise = self._exported(source) if is_exported(source) else self._of_torch(source)
        policy = partial(pipeline, num_inference_steps=self.num_inference_steps, generator=noise)
        return policy, PolicySettings.from_config(pipeline.policy.config), pipeline.alarm

    def _of_torch(self, source: str) -> "tuple[Any, Any]":
        import torch

        from dp_hf.pipelines.loading import load_pipeline

        return load_pipeline(source, self.device, self.bf16_encoder), torch.Generator().manual_seed(self.seed)

    def _exported(self, source: str) -> "tuple[Any, Any]":
        from dp_hf.pipelines.exported.noise import SeededNoise
        from dp_hf.pipelines.exported.pipeline import DiffusionPolicyPipeline

        if self.bf16_encoder or self.device not in (None, "cpu"):
            raise UserError(
                f"{source} is an exported policy: onnxruntime optimizes it itself, and takes a GPU where "
                "onnxruntime-gpu is installed; leave --bf16_encoder and --device out"
            )
        return DiffusionPolicyPipeline.from_pretrained(source), SeededNoise(self.seed)

    def token(self) -> str | None:
        if self.token_file is None:
            return os.environ.get(TOKEN_VARIABLE) or None
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self.token_file}: cannot be read ({error})") from error
        if not token:
            raise UserError(f"{self.token_file} is empty")
        return token
