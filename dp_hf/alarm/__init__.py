"""A policy that knows when it does not know: scores while it drives, and limits from runs that succeeded."""
