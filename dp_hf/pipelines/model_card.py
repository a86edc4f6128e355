"""The README.md of a pipeline's folder: what the policy is, what it was trained on, how well it does."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelCardData

if TYPE_CHECKING:
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline

TEMPLATE = Path(__file__).with_name("model_card_template.md")


def render_model_card(pipeline: "DiffusionPolicyPipeline", run: Mapping[str, Any] | None = None) -> str:
    """The text of the model card.

    Args:
        pipeline: described by its own configuration.
        run: what is known of the training, all optional: `dataset` (a path or Hub id), `num_episodes`, `num_frames`, `fps`, `epochs`, `steps`, `seed`, `config` (name to value), `validation` (joint name to mean
            absolute error, degrees and gripper points), `rollouts` (the `results.json` of an evaluation), `command`.
    """
    run = dict(run or {})
    dataset = run.get("dataset", "")
    data = ModelCardData(
        library_name="diffusers",
        license=run.get("license", "apache-2.0"),
        pipeline_tag="robotics",
        tags=["dp_hf", "diffusion-policy", "imitation-learning", "robotics"],
        datasets=[dataset] if dataset.count("/") == 1 and not Path(dataset).exists() else None,
    )
    policy = dict(pipeline.policy.config)
    return str(
        ModelCard.from_template(
            data,
            template_path=str(TEMPLATE),
            policy={name: value for name, value in policy.items() if not name.startswith("_")},
            parameters=sum(parameter.numel() for parameter in pipeline.policy.parameters()),
            scheduler=dict(pipeline.scheduler.config),
            scheduler_name=type(pipeline.scheduler).__name__,
            num_inference_steps=pipeline.config.num_inference_steps,
            normalization=pipeline.normalizer.config.mode,
            run=run,
        )
    )
