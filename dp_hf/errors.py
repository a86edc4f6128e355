"""The one exception for mistakes that the user can put right."""


class UserError(ValueError):
    """Names the file or argument at fault and the remedy; commands print it without a traceback and exit with 2."""
