"""Tasks that others have made: gymnasium environments, described in a file."""
