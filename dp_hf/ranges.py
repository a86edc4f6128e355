"""Ranges of options, written once at the field of a dataclass: `horizon: Annotated[int, Range(1, 1024)] = 1`."""

import sys
import types
import typing
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral, Real
from typing import Any, Literal

from dp_hf.errors import UserError


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both allowed; `above` and `below` are limits that are not."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            abs(value) <= sys.float_info.max  # finite, and no whole number that no float holds
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        limits = {"at least": self.low, "above": self.above, "at most": self.high, "below": self.below}
        return (
            " and ".join(f"{word} {limit:,}" for word, limit in limits.items() if limit is not None) or "that is finite"
        )


def require_in_range(options: Any) -> None:
    """Raises `UserError` for a field of a dataclass that its annotation does not allow: its type, choices or `Range`.

    Fields that are neither numbers, booleans, texts, choices, lists nor dicts of them are not looked at; dataclasses
    within are.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            require_in_range(value)
        elif not _allows(hints[field.name], value):
            raise UserError(f"{field.name} is {_in_words(hints[field.name])}; got {value!r}")


def _allows(hint: Any, value: Any) -> bool:
    """Whether `value` is what a type hint says; hints of kinds that options do not have allow all."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_allows(argument, value) for argument in arguments)
    if origin is typing.Annotated:
        ranges = [extra for extra in arguments[1:] if isinstance(extra, Range)]
        return _allows(arguments[0], value) and all(value in range_ for range_ in ranges)
    if origin is Literal:
        return isinstance(value, (str, int)) and value in arguments
    if origin is list or (origin is tuple and arguments[1:] == (...,)):
        return isinstance(value, (list, tuple)) and all(_allows(arguments[0], element) for element in value)
    if origin is tuple and arguments:
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(arguments)
            and all(_allows(argument, element) for argument, element in zip(arguments, value, strict=True))
        )
    if origin is dict:
        return isinstance(value, dict) and all(
            _allows(arguments[0], key) and _allows(arguments[1], element) for key, element in value.items()
        )
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    return not (hint in (str, bool, types.NoneType) and not isinstance(value, hint))


def _in_words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_in_words(argument) for argument in arguments)
    if origin is typing.Annotated:
        limits = " and ".join(str(extra) for extra in arguments[1:] if isinstance(extra, Range))
        return f"{limits}, {_in_words(arguments[0])}"
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin is tuple and arguments[1:] != (...,):
        return ", ".join(map(_in_words, arguments))
    if origin in (tuple, list):
        return f"a list, each {_in_words(arguments[0])}"
    if origin is dict:
        key, element = map(_in_words, arguments)
        return f"a mapping, each key {key} and each value {element}"
    words = {
        **{int: "a whole number", float: "a number", bool: "true or false", str: "a text"},
        **{types.NoneType: "none", Any: "anything"},
    }
    return words.get(hint, getattr(hint, "__name__", str(hint)))
