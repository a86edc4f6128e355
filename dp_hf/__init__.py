"""dp_hf: visuomotor diffusion policies for small robot arms, the Hugging Face way."""

from importlib import import_module

__version__ = "0.1.0"

# Resolved on first use, so that `import dp_hf` and `dp-hf --help` do not pay for torch.
_LAZY = {
    "DiffusionPolicyPipeline": "dp_hf.pipelines.pipeline_diffusion_policy",
    "DiffusionPolicyOutput": "dp_hf.pipelines.pipeline_diffusion_policy",
    "DiffusionPolicyModel": "dp_hf.models.policy",
    "Normalizer": "dp_hf.models.normalizer",
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'dp_hf' has no attribute {name!r}")
