"""What the numbers of a state or of an action are: a name and a unit for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from dp_hf.errors import UserError

Unit = Literal["degrees", "radians", "metres", "0..100", "none", "unknown"]
UNITS: tuple[str, ...] = get_args(Unit)


@dataclass(frozen=True)
class Quantities:
    """Names and units of a vector's numbers, in order.

    They travel with datasets, policies and pipelines as lists of strings, and everything that prints, plots or checks
    such numbers takes them from there.

    Attributes:
        names: one for each number, all different.
        units: of `UNITS`: "none" for a number without a unit, "unknown" where nobody has said.

    Raises:
        UserError: not as many units as names, a name that is given twice or does not print, or a unit that is none of
            these.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "units", tuple(self.units))
        if len(self.names) != len(self.units):
            raise UserError(f"{len(self.names)} names ({', '.join(self.names)}) have {len(self.units)} units")
        if unprintable := [name for name in self.names if not name.strip() or not name.isprintable()]:
            raise UserError(f"{unprintable[0]!r} is no name")
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise UserError(f"two numbers are named {twice[0]!r}")
        if unknown := [unit for unit in self.units if unit not in UNITS]:
            raise UserError(f"{unknown[0]!r} is no unit; there are {', '.join(UNITS)}")

    @classmethod
    def unnamed(cls, width: int) -> "Quantities":
        """`width` numbers of which nothing is known: named by their position."""
        return cls(tuple(f"[{index}]" for index in range(width)), ("unknown",) * width)

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        """Such as "shoulder, elbow (degrees), gripper (0..100)"."""
        runs: list[tuple[list[str], str]] = []
        for name, unit in zip(self.names, self.units, strict=True):
            if runs and runs[-1][1] == unit:
                runs[-1][0].append(name)
            else:
                runs.append(([name], unit))
        return ", ".join(f"{', '.join(names)} ({_in_words(unit)})" for names, unit in runs)

    @property
    def labels(self) -> tuple[str, ...]:
        """Each number's name with its unit, such as "elbow (radians)"."""
        return tuple(f"{name} ({_in_words(unit)})" for name, unit in zip(self.names, self.units, strict=True))

    @property
    def grippers(self) -> list[int]:
        """Positions of the grippers: of the numbers that are named so, else of those from 0 to 100."""
        named = [index for index, name in enumerate(self.names) if "gripper" in name.lower()]
        return named or [index for index, unit in enumerate(self.units) if unit == "0..100"]

    def with_units(self, units: Sequence[str]) -> "Quantities":
        """The same names in these units; one unit stands for all."""
        return Quantities(self.names, tuple(units) * len(self) if len(units) == 1 else tuple(units))

    def difference(self, other: "Quantities") -> str | None:
        """How `other` differs, as a phrase that follows its owner's name, or None where it does not."""
        if len(self) != len(other):
            return f"has {len(other)} numbers ({other}), not {len(self)} ({self})"
        for name, unit, its_name, its_unit in zip(self.names, self.units, other.names, other.units, strict=True):
            if (name, unit) != (its_name, its_unit):
                return f"has {its_name} ({_in_words(its_unit)}) where {name} ({_in_words(unit)}) is expected"
        return None


def amount(value: float, unit: str) -> str:
    """A difference or an error in words, such as "1.25 degrees" or "3.50 points"; the number alone without a unit."""
    words = "" if unit in ("none", "unknown") else amounts_of([unit])
    return f"{value:.{decimals(unit)}f} {words}".rstrip()


def amounts_of(units: Iterable[str]) -> str:
    """What differences in these units are counted in, such as "degrees, points"."""
    return ", ".join(dict.fromkeys("points" if unit == "0..100" else _in_words(unit) for unit in units))


def decimals(unit: str) -> int:
    """How many decimals of a number are worth printing."""
    return 2 if unit in ("degrees", "0..100") else 4


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """The names, but one that stands for several numbers gets their positions: "gripper[6]", "gripper[7]"."""
    return tuple(f"{name}[{index}]" if names.count(name) > 1 else name for index, name in enumerate(names))


def _in_words(unit: str) -> str:
    return {"none": "no unit", "unknown": "unit unknown"}.get(unit, unit)
