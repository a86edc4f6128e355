"""The exceptions that commands print as one sentence, and how text of others is printed."""

import unicodedata


class UserError(ValueError):
    """Names the file or argument at fault and the remedy; commands print it without a traceback and exit with 2."""


class RunFailed(RuntimeError):
    """A run that something outside ended: a robot, a policy, a disk; commands print it and exit with 1."""


def failure(what: str, error: BaseException) -> RunFailed:
    """`error` of `what`, such as "the policy", as a `RunFailed` to be raised from it."""
    return RunFailed(f"{what} failed: {type(error).__name__}: {error}")


def printable(text: str) -> str:
    """`text` with its control characters written out, such as `\\x1b`; line breaks and tabs stay.

    For text from files and from the network, which would otherwise move the terminal's cursor and colour its lines.
    """
    if text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode() if _is_control(char) else char for char in text)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in "\n\t"
