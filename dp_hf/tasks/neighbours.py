"""Which Python files beside a task file are part of it."""

import ast
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path


def imported_beside(files: Sequence[Path]) -> list[Path]:
    """The files in the folders of `files`, other than these, that they import, and that those import."""
    roots = [*dict.fromkeys(file.parent for file in files)]
    known = [*files]
    for file in known:  # which grows
        for stem in _imported(file, roots):
            for beside in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
                if beside not in known and beside.is_file():
                    known.append(beside)
    return known[len(files) :]


def _imported(file: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """What a file imports, as paths without a suffix: modules, the packages they are in, and names of these."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # which is said where the file is loaded
        return
    for node in ast.walk(tree):
        places, names = roots, []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            places = [file.parents[node.level - 1]] if node.level else roots
            names = [".".join(filter(None, (node.module, alias.name))) for alias in node.names]
        for place, name in product(places, names):
            parts = name.split(".")
            yield from (place.joinpath(*parts[:count]) for count in range(1, len(parts) + 1))
