"""Which options a user has given."""

from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any


def options_given(options: Any, names: Iterable[str] | None = None) -> list[str]:
    """Names of a dataclass's options that are not as they are by default: of all that have one, or of these `names`."""
    defaults = {
        entry.name: entry.default if entry.default_factory is MISSING else entry.default_factory()
        for entry in fields(options)
    }
    asked = defaults if names is None else names
    return [name for name in asked if defaults[name] not in (MISSING, getattr(options, name))]
