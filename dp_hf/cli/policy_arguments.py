"""The arguments of commands that run a policy in real time, and the loading of it."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dp_hf.errors import UserError

TOKEN_VARIABLE = "DP_HF_TOKEN"


@dataclass(kw_only=True)
class PolicyArguments:
    """Which pipeline, and how it samples."""

    num_inference_steps: int | None = None
    """denoising steps; default the pipeline's"""
    seed: int = 0
    """of the noise that samples start from"""
    bf16_encoder: bool = False
    """encode images in bfloat16: about twice as fast on a CPU with AVX512-BF16 or AMX"""
    device: str | None = None
    """torch device, such as cuda; default a GPU where there is one"""
    token_file: Path | None = None
    """file that holds the policy server's token; default the environment variable DP_HF_TOKEN"""

    def load_pipeline(self, source: str) -> tuple[Any, Any]:
        """The pipeline in a folder or Hub repository as a policy, and its `PolicySettings`."""
        import torch

        from dp_hf import DiffusionPolicyPipeline
        from dp_hf.control.policy_settings import PolicySettings

        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        pipeline = DiffusionPolicyPipeline.from_pretrained(source).to(device)
        if self.bf16_encoder:
            pipeline.optimize_for_inference()
        policy = partial(
            pipeline,
            num_inference_steps=self.num_inference_steps,
            generator=torch.Generator().manual_seed(self.seed),
        )
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


def warm_up(policy: Any, settings: Any) -> float:
    """Calls the policy on black images until it takes no longer than before; returns the seconds of the last call."""
    import time

    import numpy as np

    black = np.zeros((*settings.image_size, 3), np.uint8)
    names = settings.camera_names
    frame = black if len(names) == 1 else dict.fromkeys(names, black)
    state = np.zeros((1, settings.n_obs_steps, settings.state_dim))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        policy([[frame] * settings.n_obs_steps], state=state)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
