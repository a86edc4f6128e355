"""Whether a policy is one for an arm, and data that of a policy."""

from typing import Any, Literal

from dp_hf.arms.quantities import Quantities
from dp_hf.arms.undescribed import quantities_of
from dp_hf.errors import UserError


def require_same(
    policy: Any,
    arm: Quantities,
    policy_name: str = "the policy",
    arm_name: str = "this arm",
    action: Quantities | None = None,
) -> None:
    """Refuses a policy whose actions, or the states that it sees, are not the arm's numbers in the arm's units.

    Every door where a policy meets an arm or a simulator calls it before anything moves.

    Args:
        policy: its config or its settings, see `quantities_of`.
        arm: what the arm's numbers are.
        policy_name, arm_name: how the user calls them.
        action: what is commanded, where that is not what is measured.

    Raises:
        UserError: they differ, by name, unit or width.
    """
    kinds: tuple[Literal["state", "action"], ...] = ("action", "state") if policy.use_proprioception else ("action",)
    for kind in kinds:
        expected = action if kind == "action" and action is not None else arm
        if difference := expected.difference(quantities_of(policy, kind)):
            raise UserError(
                f"{policy_name} is not for {arm_name}: its {kind} {difference}; "
                "take a policy that was trained on this arm's recordings"
            )


def require_data_of(policy: Any, kind: Literal["state", "action"], data: Quantities, data_name: str) -> None:
    """Refuses data whose states or actions are not the policy's numbers.

    A policy of which nothing but a width is known takes any names and units.

    Raises:
        UserError: they differ, by name, unit or width.
    """
    own = quantities_of(policy, kind)
    if own != Quantities.unnamed(len(data)) and (difference := own.difference(data)):
        raise UserError(f"{data_name} does not fit this policy: its {kind} {difference}")
