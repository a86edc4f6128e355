"""The arguments of commands that run a policy in real time."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dp_hf.errors import UserError
from dp_hf.ranges import Range

if TYPE_CHECKING:
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

    def load_policy(self, source: str) -> "tuple[Policy, PolicySettings]":
        """The pipeline in a folder or Hub repository, sampling as the arguments say, and what a controller must know
        of it."""
        import torch

        from dp_hf.control.policy_settings import PolicySettings
        from dp_hf.pipelines.loading import load_pipeline

        pipeline = load_pipeline(source, self.device, self.bf16_encoder)
        noise = torch.Generator().manual_seed(self.seed)
        policy = partial(pipeline, num_inference_steps=self.num_inference_steps, generator=noise)  # type: ignore[misc]
        return policy, PolicySettings.from_config(pipeline.policy.config)

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
