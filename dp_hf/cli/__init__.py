"""The commands, one small module each; `main` finds them by name."""
