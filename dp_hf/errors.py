"""The exceptions that commands print as one sentence, and how text of others is printed."""

import errno
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

_REMEDIES = {
    errno.ENOSPC: "free space there, or choose another place",
    errno.EDQUOT: "free space there, or choose another place",
    errno.EFBIG: "allow larger files (ulimit -f), or choose another place",
    errno.EROFS: "choose another place",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.EEXIST: "choose another place",
    errno.EISDIR: "choose another place",
    errno.ENOTDIR: "choose another place",
    errno.ENAMETOOLONG: "choose another place",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(ValueError):
    """Names the file or argument at fault and the remedy; commands print it without a traceback and exit with 2."""


class RunFailed(RuntimeError):
    """A run that something outside ended: a robot, a policy, a disk; commands print it and exit with 1."""


def failure(what: str, error: BaseException) -> RunFailed:
    """`error` of `what`, such as "the policy", as a `RunFailed` to be raised from it."""
    return RunFailed(f"{what} failed: {type(error).__name__}: {error}")


@contextmanager
def failing_as(what: str) -> Iterator[None]:
    """Whatever is raised within, but for a `UserError`, is a `failure` of `what`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise failure(what, error) from error


def disk_error(error: BaseException) -> OSError | None:
    """The `OSError` of a full disk behind `error`, whoever has wrapped it, or `error` itself of a closed place."""
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return error
    for behind in _causes(error):
        if isinstance(behind, OSError) and behind.errno in _FULL:
            return behind
        for number in _FULL:
            if os.strerror(number) in str(behind):  # safetensors, for one, has errors of its own
                return OSError(number, os.strerror(number))
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """`error` and what is behind it, each once: `raise error from error` makes one its own cause."""
    causes: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and not any(behind is known for known in causes):
        causes.append(behind)
        behind = behind.__cause__ or behind.__context__
    return causes


def disk_failure(error: BaseException) -> UserError | RunFailed | None:
    """The sentence about a full disk (`RunFailed`) or a place that is closed, where one is behind `error`.

    That data cannot be read because their cache has no space left is no fault of the data, whatever `error` says.
    """
    behind = disk_error(error)
    if behind is None or behind.errno is None:
        return None
    place = behind.filename or "a file of the output, of a cache or a temporary one"
    sentence = f"{place}: {os.strerror(behind.errno)}; {_REMEDIES[behind.errno]}"
    return RunFailed(sentence) if behind.errno in _FULL else UserError(sentence)


def printable(text: str) -> str:
    """`text` with its control characters written out, such as `\\x1b`; line breaks and tabs stay.

    For text from files and from the network, which would otherwise move the terminal's cursor and colour its lines.
    """
    if text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode() if _is_control(char) else char for char in text)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in "\n\t"
