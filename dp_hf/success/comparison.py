"""Two policies, stage by stage, in numbers, in text and as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dp_hf.success.betting import ENOUGH, anytime_interval, evidence, pairs_to_decide
from dp_hf.success.paired import Pairs, exact_mcnemar, newcombe
from dp_hf.success.rates import Rate

Stages = Mapping[str, bool]


@dataclass(frozen=True)
class StageComparison:
    """How often A and B reached a stage, on the same layouts.

    Attributes:
        pairs: counts.
        a, b: the rates, with their Wilson intervals.
        difference, low, high: how much more often B did, with the 95 % interval for a number of pairs fixed before.
        p_value: McNemar's, exact, for a number fixed before.
        evidence: against "no difference", at every look; 20 decides.
        anytime_low, anytime_high: the 95 % interval that holds at every look.
        pairs_to_decide: in all, if they go on as they did; None where these do not tell.
    """

    pairs: Pairs
    a: Rate
    b: Rate
    difference: float
    low: float
    high: float
    p_value: float
    evidence: float
    anytime_low: float
    anytime_high: float
    pairs_to_decide: int | None

    @classmethod
    def of(cls, pairs: Pairs) -> "StageComparison":
        return cls(
            pairs,
            pairs.a,
            pairs.b,
            pairs.difference,
            *newcombe(pairs),
            exact_mcnemar(pairs),
            evidence(pairs),
            *anytime_interval(pairs),
            pairs_to_decide(pairs),
        )

    @property
    def verdict(self) -> str:
        """What the evidence says, in words."""
        if self.evidence >= ENOUGH:
            return f"{'B' if self.difference > 0 else 'A'} is better: decided, however often it was looked at"
        if self.pairs_to_decide is None:
            return "not decided, and nothing speaks for either"
        more = max(1, self.pairs_to_decide - self.pairs.number)
        return f"not decided: about {more:,} more pairs would decide, if they go on as these"


@dataclass(frozen=True)
class Comparison:
    """By stage of the task, the last of which is the success."""

    stages: dict[str, StageComparison]

    @classmethod
    def of(cls, a: Sequence[Stages], b: Sequence[Stages]) -> "Comparison":
        """Compares what was reached on the same layouts, in the same order.

        Args:
            a, b: of each rollout, the stages in order and whether they were reached; one at least.
        """
        return cls(
            {name: StageComparison.of(Pairs.of(*([run[name] for run in runs] for runs in (a, b)))) for name in a[0]}
        )

    @property
    def success(self) -> StageComparison:
        return [*self.stages.values()][-1]

    def to_dict(self) -> dict[str, Any]:
        return {"pairs": self.success.pairs.number, "stages": {name: asdict(s) for name, s in self.stages.items()}}

    def __str__(self) -> str:
        width = max(map(len, self.stages))
        last, pairs = self.success, self.success.pairs
        return "\n".join(
            [
                *(
                    f"{name:<{width}}  A {stage.a}   B {stage.b}   B - A {points(stage.difference)} "
                    f"[{points(stage.low)}, {points(stage.high)}]"
                    for name, stage in self.stages.items()
                ),
                f"of {pairs.number} pairs both {pairs.both}, only A {pairs.only_a}, only B {pairs.only_b}, neither "
                f"{pairs.neither}",
                f"for a number of pairs that was fixed before: p = {last.p_value:.2g} (McNemar, exact)",
                f"at every look: {_odds(last.evidence)} against no difference ({ENOUGH:g} to 1 decides), "
                f"B - A in [{points(last.anytime_low)}, {points(last.anytime_high)}]",
                last.verdict,
            ]
        )


def points(difference: float) -> str:
    """A difference of rates, -1 to 1, in percentage points."""
    return f"{100 * difference:+.1f}"


def _odds(evidence: float) -> str:
    return f"{evidence:,.0f} to 1" if evidence >= 10 else f"{evidence:.2g} to 1"
