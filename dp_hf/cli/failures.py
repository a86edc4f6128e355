"""Errors of commands, as one sentence and an exit code."""

import logging
import sys

from dp_hf.errors import RunFailed, UserError, disk_failure, printable
from dp_hf.installed import is_installed

logger = logging.getLogger(__name__)


def exit_code(error: Exception) -> int:
    """Prints `error`, which is being handled, as one sentence; its traceback is logged at debug level.

    Returns:
        2 for a `UserError` and a place that cannot be written to, 1 for a `RunFailed` and a disk that is full. Another
        error is raised again.
    """
    failure = disk_failure(error) or _missing_library(error) or error
    if not isinstance(failure, (UserError, RunFailed)):
        raise error
    logger.debug("traceback", exc_info=error)
    print(f"error: {printable(str(failure))}", file=sys.stderr)
    return 2 if isinstance(failure, UserError) else 1


def _missing_library(error: Exception) -> UserError | None:
    """The sentence about a library of dp_hf's own that is not installed, where that is what `error` says."""
    library = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if library in ("", "dp_hf") or is_installed(library):
        return None
    return UserError(
        f"this needs {library}, which is not installed here: pip install dp_hf. Without torch, `dp-hf run-policy` and "
        "`serve-policy` run what `dp-hf export-policy` has written"
    )
