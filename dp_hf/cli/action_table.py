"""Actions as rows of a table, for the terminal."""

from collections.abc import Iterable

from dp_hf.arms.quantities import Quantities, decimals


def heading(quantities: Quantities, first: str) -> str:
    """The names of an action's numbers; `first` is over what stands before them."""
    return f"{first}  " + "  ".join(f"{name:>{_width(name)}}" for name in quantities.names)


def row(quantities: Quantities, first: str, action: Iterable[float]) -> str:
    """An action (n,) below its heading; `first` stands before it."""
    columns = zip(action, quantities.names, quantities.units, strict=True)
    return f"{first}  " + "  ".join(f"{value:{_width(name)}.{decimals(unit)}f}" for value, name, unit in columns)


def _width(name: str) -> int:
    return max(len(name), 8)
