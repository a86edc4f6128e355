"""The normalizer's map, for tensors and for arrays."""

from typing import TypeVar

Values = TypeVar("Values")


def to_network(values: Values, offset: Values, scale: Values) -> Values:
    """`(values - offset) / scale` in each dimension; 0 in one whose scale is 0, which was constant in the data."""
    constant = scale == 0
    return (values - offset) / (scale + constant) * ~constant  # type: ignore[operator]


def to_robot(values: Values, offset: Values, scale: Values) -> Values:
    """The inverse, but that a dimension of scale 0 gives its constant."""
    return values * scale + offset  # type: ignore[operator]
