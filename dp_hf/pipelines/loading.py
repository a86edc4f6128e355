"""The one loader of pipelines, for whatever drives an arm, simulates one, or infers."""

import torch

from dp_hf.errors import UserError
from dp_hf.models.digest import digest_module, digest_of
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline


def load_pipeline(source: str, device: str | None = None, bf16_encoder: bool = False) -> DiffusionPolicyPipeline:
    """Loads a pipeline, ready to act.

    Args:
        source: folder or Hub repository.
        device: torch device, such as cuda; None takes a GPU where there is one.
        bf16_encoder: encodes images in bfloat16, see `DiffusionPolicyPipeline.optimize_for_inference`.

    Raises:
        UserError: it cannot be loaded, or there is no such device.
    """
    try:
        target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:  # torch is built without CUDA, or knows no such device
        raise UserError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    pipeline = DiffusionPolicyPipeline.from_pretrained(source).to(target)
    return pipeline.optimize_for_inference() if bf16_encoder else pipeline


def digest_pipeline(pipeline: DiffusionPolicyPipeline) -> str:
    """Of its weights, statistics and configuration: pipelines of one digest act alike."""
    configs = [
        {name: value for name, value in sorted(component.config.items()) if not name.startswith("_")}
        for component in (pipeline.policy, pipeline.scheduler)
    ]
    return digest_of(digest_module(pipeline.policy), digest_module(pipeline.normalizer), configs)
