"""What every command shares: arguments from a dataclass, and errors that read as one sentence."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from dp_hf.errors import UserError

Arguments = TypeVar("Arguments")


def parse(
    arguments: type[Arguments], argv: Sequence[str] | None, command: str, default: Arguments | None = None
) -> Arguments:
    """Parses `argv` into the dataclass `arguments`; field comments are the help, and `-` equals `_` in flags.

    Exits with 2 on a wrong flag, with 0 after `--help`.
    """
    kwargs: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(arguments, prog=command, args=argv, use_underscores=True, **kwargs)


def run(function: Callable[[Arguments], int | None], arguments: Arguments) -> int:
    """Calls `function(arguments)` and returns the exit code: its own, 2 for a `UserError`, 130 for Ctrl-C."""
    try:
        return function(arguments) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
