"""Errors of commands, as one sentence and an exit code."""

import logging
import sys

from dp_hf.errors import RunFailed, UserError, disk_failure, printable

logger = logging.getLogger(__name__)


def exit_code(error: Exception) -> int:
    """Prints `error`, which is being handled, as one sentence; its traceback is logged at debug level.

    Returns:
        2 for a `UserError` and a place that cannot be written to, 1 for a `RunFailed` and a disk that is full. Another
        error is raised again.
    """
    failure = disk_failure(error) or error
    if not isinstance(failure, (UserError, RunFailed)):
        raise error
    logger.debug("traceback", exc_info=error)
    print(f"error: {printable(str(failure))}", file=sys.stderr)
    return 2 if isinstance(failure, UserError) else 1
