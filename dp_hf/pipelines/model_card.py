"""The README.md of a pipeline's folder: what the policy is, what it was trained on, how well it does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import ModelCard, ModelCardData

from dp_hf.arms import mycobot_280
from dp_hf.arms.quantities import amount
from dp_hf.arms.undescribed import quantities_of

# Stands in the card's example until the pipeline is pushed somewhere.
PLACEHOLDER = "PATH_OR_REPOSITORY"
ROLLOUTS_HEADING = "### Closed loop"
TEMPLATE = Path(__file__).with_name("model_card_template.md")


class Described(Protocol):
    """What a card describes: a pipeline's parts, each by its own `config`."""

    policy: Any
    scheduler: Any
    normalizer: Any

    @property
    def config(self) -> Any: ...


def render_model_card(pipeline: Described, run: Mapping[str, Any] | None = None) -> str:
    """The text of the model card.

    Args:
        pipeline: described by its own configuration.
        run: what is known of the training, all optional: `dataset` (a path or Hub id), `num_episodes`, `num_frames`,
            `fps`, `epochs`, `steps`, `seed`, `config` (name to value), `validation` (an action's names to the mean
            absolute error of each in its unit), `command`.
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
    state, action = (quantities_of(pipeline.policy.config, kind) for kind in ("state", "action"))
    units = dict(zip(action.names, action.units, strict=True))
    errors = {name: amount(error, units.get(name, "unknown")) for name, error in (run.get("validation") or {}).items()}
    return str(
        ModelCard.from_template(
            data,
            template_path=str(TEMPLATE),
            policy={name: value for name, value in policy.items() if not name.startswith("_")},
            state=state,
            action=action,
            is_mycobot=action == mycobot_280.QUANTITIES,
            errors=errors,
            parameters=sum(parameter.numel() for parameter in pipeline.policy.parameters()),
            scheduler=dict(pipeline.scheduler.config),
            scheduler_name=type(pipeline.scheduler).__name__,
            num_inference_steps=pipeline.config.num_inference_steps,
            normalization=pipeline.normalizer.config.mode,
            run=run,
            placeholder=PLACEHOLDER,
        )
    )


def add_rollouts(card: str, results: Mapping[str, Any]) -> str:
    """The card with a table of closed-loop success, in the place of an earlier one.

    Args:
        results: the `results.json` of an evaluation: `rates` by stage, each with `trials`, and `rate`, `low` and `high`
            in 0..1.
    """
    rows = [
        f"| {stage} | {rate['rate']:.0%} | {rate['low']:.0%} to {rate['high']:.0%} |"
        for stage, rate in results["rates"].items()
    ]
    section = "\n".join(
        [
            ROLLOUTS_HEADING,
            "",
            f"In simulation, over {next(iter(results['rates'].values()))['trials']} layouts of no demonstration:",
            "",
            "| stage | success | 95 % interval |",
            "| --- | --- | --- |",
            *rows,
        ]
    )
    before, limits = card.split("\n## Limits", 1)
    before = before.split(f"\n{ROLLOUTS_HEADING}", 1)[0].replace("\nNot measured.\n", "")
    return f"{before.rstrip()}\n\n{section}\n\n## Limits{limits}"
