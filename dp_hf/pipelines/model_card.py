"""The README.md of a pipeline's folder: what the policy is, what it was trained on, how well it does."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import ModelCard, ModelCardData

from dp_hf.arms import mycobot_280
from dp_hf.arms.quantities import amount
from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError
from dp_hf.hub.card import END_MARK, PLACEHOLDER

ROLLOUTS_HEADING, COMPARISON_HEADING = "### Closed loop", "### Against another policy"
# Up to the next heading, or a mark of the card's.
_EARLIER_ROLLOUTS, _EARLIER_COMPARISON = (
    re.compile(rf"^{heading}\n.*?(?=^#|^<!-- |\Z)", re.MULTILINE | re.DOTALL)
    for heading in (ROLLOUTS_HEADING, COMPARISON_HEADING)
)
PACKAGE = __name__.partition(".")[0]
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
            `fps`, `epochs`, `steps`, `seed`, `keeps_random_encoder` (frozen as it was drawn), `config` (name to value),
            `validation` (an action's names to the mean absolute error of each in its unit), `command`.
    """
    run = dict(run or {})
    dataset = run.get("dataset", "")
    data = ModelCardData(
        library_name="diffusers",
        pipeline_tag="robotics",
        tags=["dp_hf", "diffusion-policy", "imitation-learning", "robotics"],
        datasets=[dataset] if dataset.count("/") == 1 and not Path(dataset).exists() else None,
    )
    policy = dict(pipeline.policy.config)
    own = None if (kind := type(pipeline.policy)).__module__.startswith(f"{PACKAGE}.") else kind
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
            own_class=own and own.__name__,
            own_module=own and own.__module__ != "__main__" and own.__module__,
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


def add_rollouts(card: str, results: Mapping[str, Any], whose: str = "the results") -> str:
    """The card with a table of closed-loop success: in the place of an earlier one, before the limits, or at its end.

    Args:
        results: the `results.json` of an evaluation: `rates` by stage, each with `trials`, and `rate`, `low` and `high`
            in 0..1; and `task`, its name.
        whose: they are, in a message.

    Raises:
        UserError: they are not those of an evaluation.
    """
    try:
        rows = [
            f"| {stage} | {rate['rate']:.0%} | {rate['low']:.0%} to {rate['high']:.0%} |"
            for stage, rate in results["rates"].items()
        ]
        trials = int(next(iter(results["rates"].values()))["trials"])
    except (AttributeError, KeyError, TypeError, ValueError, StopIteration) as error:
        raise UserError(
            f"{whose}: no success rates by stage (rates: trials, rate, low, high); give the results.json of "
            "`dp-hf evaluate`"
        ) from error
    task = f" ({results['task']})" if results.get("task") else ""
    table = "\n".join(
        [
            ROLLOUTS_HEADING,
            "",
            f"In simulation{task}, over {trials} layouts of no demonstration:",
            "",
            "| stage | success | 95 % interval |",
            "| --- | --- | --- |",
            *rows,
        ]
    )
    return _with_section(card, table, _EARLIER_ROLLOUTS)


def add_comparison(
    card: str, results: Mapping[str, Any], digests: Collection[str], whose: str = "the comparison"
) -> str:
    """The card with how much more often this policy succeeds than another, where `add_rollouts` puts its table.

    Args:
        results: the `comparison.json` of `dp-hf compare`.
        digests: of the card's policy, and of its files.
        whose: it is, in a message.

    Raises:
        UserError: it is no comparison, or one of other policies.
    """
    try:
        places = {name: policy["pipeline"] for name, policy in results["policies"].items()}
        own = [name for name, policy in results["policies"].items() if {*digests} & {*policy.values()} - {places[name]}]
        rows = [
            _comparison_row(scene, [*found["stages"].values()][-1], own == ["B"])
            for scene, found in results["scenes"].items()
        ]
        task = results["task"]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{whose}: not a comparison; give the comparison.json of `dp-hf compare`") from error
    if len(own) != 1:
        raise UserError(
            f"{whose}: compares {' and '.join(places.values())}, of which neither is this policy: compare it"
        )
    table = "\n".join(
        [
            COMPARISON_HEADING,
            "",
            f"Pairs of rollouts in the same scene ({task}), one of this policy and one of the other; the difference in "
            "percentage points, with its 95 % interval for a number of pairs that was fixed before (Newcombe 1998), "
            "and the one that holds for whoever looks after every pair; p of the exact McNemar test:",
            "",
            "| scene | pairs | this policy | the other | difference | 95 % interval | at every look | p |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
        ]
    )
    return _with_section(card, table, _EARLIER_COMPARISON)


def _comparison_row(scene: str, success: Mapping[str, Any], is_b: bool) -> str:
    own, other = (success["b"], success["a"]) if is_b else (success["a"], success["b"])
    intervals = [(success[low], success[high]) for low, high in (("low", "high"), ("anytime_low", "anytime_high"))]
    fixed, at_looks = (f"{low:+.1f} to {high:+.1f}" for low, high in (_points(pair, is_b) for pair in intervals))
    difference = _points((success["difference"],) * 2, is_b)[0]
    rates = f"{own['trials']} | {own['rate']:.0%} | {other['rate']:.0%}"
    return f"| {scene} | {rates} | {difference:+.1f} | {fixed} | {at_looks} | {success['p_value']:.2g} |"


def _points(interval: tuple[float, float], is_b: bool) -> tuple[float, float]:
    """Of B less A, as this policy less the other, in percentage points."""
    low, high = interval if is_b else (-interval[1], -interval[0])
    return 100 * low, 100 * high


def _with_section(card: str, table: str, earlier: re.Pattern[str]) -> str:
    card = earlier.sub("\n", card).replace("\nNot measured.\n", "")
    # A card that somebody has written has no limits, and maybe no marks.
    end = re.search(rf"^(?:## Limits|{re.escape(END_MARK)})$", card, re.MULTILINE)
    before, after = (card[: end.start()], card[end.start() :]) if end else (card, "")
    return f"{before.rstrip()}\n\n{table}\n\n{after}"
