"""YAML files of the user as mappings, and dataclasses from them; what is not known is refused by name."""

import difflib
import math
import sys
from collections.abc import Hashable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dp_hf.errors import UserError

Kind = TypeVar("Kind")
_MAX_VALUES = 100_000


def read_yaml(file: Path) -> Any:
    """What a YAML file holds; nothing in it is executed.

    Raises:
        UserError: it cannot be read, is no YAML, has a key twice, too many values, or a number that no float holds.
    """
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except RecursionError as error:
        raise UserError(f"{file}: cannot be read as YAML (nested too deeply)") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8, or a date that there is not
        raise UserError(f"{file}: cannot be read as YAML ({' '.join(str(error).split())})") from error


def from_mapping(kind: type[Kind], values: Any, where: str = "", **others: Any) -> Kind:
    """A dataclass from a mapping of YAML, in which one value stands for a list of one.

    Args:
        kind: the dataclass; its own checks are part of this.
        where: put before what is said, such as "limits: ".
        others: fields that are not for the mapping to say.

    Raises:
        UserError: a key that is none of its fields, one that is missing, or a value that the dataclass refuses.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where}expected `key: value` lines, and got {str(values)[:40]!r}")
    known = {entry.name: entry for entry in fields(kind) if entry.init and entry.name not in others}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            raise UserError(f"{where}no key {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    for name, entry in known.items():
        if name not in values and entry.default is MISSING and entry.default_factory is MISSING:
            raise UserError(f"{where}{name} is missing")
    lists = {name for name, entry in known.items() if str(entry.type).startswith("list")}
    values = {
        name: [value] if name in lists and not isinstance(value, list) else value for name, value in values.items()
    }
    for name, value in values.items():
        if str(known[name].type).startswith("dict") and not isinstance(value, dict):
            raise UserError(f"{where}{name}: expected `key: value` lines, and got {str(value)[:40]!r}")
    try:
        return kind(**values, **others)
    except UserError as error:
        raise UserError(f"{where}{error}") from error


class _Loader(yaml.SafeLoader):
    """Refuses what YAML's own loader takes: of two lines with one key the last, and aliases that multiply."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _num_values(node, {}) > _MAX_VALUES:
            raise yaml.YAMLError(f"more than {_MAX_VALUES:,} values, or one that holds itself")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.YAMLError(f"the key {twice[0]!r} is there twice")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        number = super().construct_yaml_int(node)
        if abs(number) > sys.float_info.max:
            raise yaml.YAMLError(f"the number {node.value[:20]}... is too large")
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _num_values(node: yaml.Node, known: dict[int, float]) -> float:
    """With those that aliases repeat; infinite where a value holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        within = [] if isinstance(node, yaml.ScalarNode) else node.value
        pairs = (pair if isinstance(pair, tuple) else (pair,) for pair in within)
        known[id(node)] = 1 + sum(_num_values(each, known) for pair in pairs for each in pair)
    return known[id(node)]
