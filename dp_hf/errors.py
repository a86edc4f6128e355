"""The exceptions that commands print as one sentence, and how text of others is printed."""


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
    return "".join(char if char.isprintable() or char in "\n\t" else _written_out(char) for char in text)


def _written_out(char: str) -> str:
    return char.encode("unicode_escape").decode()
