"""dp_hf: visuomotor diffusion policies for small robot arms, the Hugging Face way."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dp_hf.arms.quantities import Quantities as Quantities
    from dp_hf.episodes.dataset import open_data as open_data
    from dp_hf.episodes.dataset_writer import DatasetWriter as DatasetWriter
    from dp_hf.episodes.writer import EpisodeWriter as EpisodeWriter
    from dp_hf.models.normalizer import Normalizer as Normalizer
    from dp_hf.models.policy import DiffusionPolicyModel as DiffusionPolicyModel
    from dp_hf.pipelines.action_chunking import ActionChunker as ActionChunker
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyOutput as DiffusionPolicyOutput
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline as DiffusionPolicyPipeline
    from dp_hf.training.config import TrainConfig as TrainConfig
    from dp_hf.training.trainer import train as train

__version__ = "0.1.0"

# Resolved on first use, so that `import dp_hf` and `dp-hf --help` do not pay for torch; type checkers read the imports.
_LAZY = {
    "ActionChunker": "dp_hf.pipelines.action_chunking",
    "DatasetWriter": "dp_hf.episodes.dataset_writer",
    "DiffusionPolicyModel": "dp_hf.models.policy",
    "DiffusionPolicyOutput": "dp_hf.pipelines.pipeline_diffusion_policy",
    "DiffusionPolicyPipeline": "dp_hf.pipelines.pipeline_diffusion_policy",
    "EpisodeWriter": "dp_hf.episodes.writer",
    "Normalizer": "dp_hf.models.normalizer",
    "Quantities": "dp_hf.arms.quantities",
    "TrainConfig": "dp_hf.training.config",
    "open_data": "dp_hf.episodes.dataset",
    "train": "dp_hf.training.trainer",
}
_WITHOUT_TORCH = {
    "DiffusionPolicyOutput": "dp_hf.pipelines.exported.pipeline",
    "DiffusionPolicyPipeline": "dp_hf.pipelines.exported.pipeline",
}
__all__ = ["__version__", *_LAZY]


if not TYPE_CHECKING:  # a checker would take any name for one of the package

    def __getattr__(name: str):
        if name in _LAZY:
            from dp_hf.installed import has_torch

            module = _LAZY[name] if name not in _WITHOUT_TORCH or has_torch() else _WITHOUT_TORCH[name]
            return getattr(import_module(module), name)
        raise AttributeError(f"module 'dp_hf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
