"""What every command shares: arguments from a dataclass, and errors that read as one sentence."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import tyro

from dp_hf.cli.failures import exit_code
from dp_hf.cli.stdout import while_somebody_reads
from dp_hf.errors import printable
from dp_hf.files import user_path
from dp_hf.ranges import require_in_range

Arguments = TypeVar("Arguments")
Value = TypeVar("Value")


def parse(
    arguments: type[Arguments],
    argv: Sequence[str] | None,
    command: str,
    default: Arguments | None = None,
    *,
    grouped: bool = False,
    old_names: Mapping[str, str] | None = None,
) -> Arguments:
    """Parses `argv` into the dataclass `arguments`; the strings below its fields are the help, and `-` equals `_`.

    `~` is the home folder in every path, and in every text that begins with `~/`.

    Args:
        default: values of the options that are not given, in place of the dataclass's own.
        grouped: dataclasses within `arguments` are groups in the help, and not part of their options' names.
        old_names: options that were renamed, old to new; they work, and the help does not show them.

    Exits with 2 on a wrong flag or a value out of its range, with 0 after `--help`.
    """
    kwargs: dict[str, Any] = {} if default is None else {"default": default}
    config = (tyro.conf.OmitArgPrefixes,) if grouped else None
    argv = [_by_new_name(argument, old_names or {}) for argument in (sys.argv[1:] if argv is None else argv)]
    try:
        with while_somebody_reads():  # tyro 0.9 passes on what a dataclass refuses
            parsed = tyro.cli(arguments, prog=command, args=argv, use_underscores=True, config=config, **kwargs)
        require_in_range(parsed)
        return _with_user_paths(parsed)
    except Exception as error:
        raise SystemExit(exit_code(error)) from error


def run(function: Callable[[Arguments], int | None], arguments: Arguments) -> int:
    """Calls `function(arguments)` and returns the exit code.

    It is the function's own, that of its error (`dp_hf.cli.failures`), 130 for Ctrl-C. What is printed has no control
    characters: it may come from files.
    """
    try:
        with while_somebody_reads(clean=printable):
            return function(arguments) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return exit_code(error)


def log_to_stderr(verbose: bool = False) -> None:
    """Shows the log on standard error, from info on, or from debug on; for commands that run for long."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter("%(asctime)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("dp_hf").setLevel(logging.DEBUG if verbose else logging.INFO)


class _PrintableFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _by_new_name(argument: str, old_names: Mapping[str, str]) -> str:
    flag, equals, value = argument.partition("=")
    new = old_names.get(flag[2:].replace("-", "_")) if flag.startswith("--") else None
    return f"--{new}{equals}{value}" if new else argument


def _with_user_paths(value: Value) -> Value:
    """A dataclass of arguments, of arguments, ... with `~` as the home folder."""
    new: Any = value
    if isinstance(value, Path):
        new = user_path(value)
    elif isinstance(value, str) and value.startswith("~/"):
        new = str(user_path(value))
    elif isinstance(value, (list, tuple)):
        new = type(value)([_with_user_paths(element) for element in value])
    elif is_dataclass(value) and not isinstance(value, type):
        members = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        new = replace(value, **{name: _with_user_paths(member) for name, member in members.items()})
    return new
