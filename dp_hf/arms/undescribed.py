"""Policies from before names and units travelled: what their numbers are taken for."""

import functools
import sys
from typing import Any, Literal

from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.arms.quantities import Quantities
from dp_hf.errors import UserError


def quantities_of(config: Any, kind: Literal["state", "action"]) -> Quantities:
    """What the numbers of a policy's state or action are.

    Without names, seven numbers count as the myCobot's, which is said once for each policy, and any others are unknown.

    Args:
        config: has `state_dim` or `action_dim`, and where they are known `state_names` and `state_units`, or
            `action_names` and `action_units`: a policy's config, or its settings.

    Raises:
        UserError: not as many names or units as numbers, a name that is given twice, or a unit that is none.
    """
    width = getattr(config, f"{kind}_dim")
    names, units = getattr(config, f"{kind}_names", None), getattr(config, f"{kind}_units", None)
    if names is None:
        if width != len(QUANTITIES):
            return Quantities.unnamed(width)
        _say_once(getattr(config, "_name_or_path", None) or "a policy")
        return QUANTITIES
    quantities = Quantities(tuple(names), tuple(units or ["unknown"] * len(names)))
    if len(quantities) != width:
        raise UserError(f"{kind}_names are {len(quantities)} ({quantities}), but {kind}_dim is {width}")
    return quantities


@functools.cache
def _say_once(source: str) -> None:
    line = f"{source} has no names for its seven numbers: they count as the myCobot 280's, {QUANTITIES}"
    print(line, file=sys.stderr)
