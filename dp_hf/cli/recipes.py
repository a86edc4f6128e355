"""The files of `configs/`, found by name: recipes of training, limits of arms, configurations of accelerate."""

from pathlib import Path

import dp_hf
from dp_hf.errors import UserError
from dp_hf.files import user_path


def recipe_folder(kind: str) -> Path:
    """`configs/KIND`: part of the package where that was installed from a wheel, beside it in a checkout."""
    package = Path(dp_hf.__file__).parent
    folders = [package / "configs" / kind, package.parent / "configs" / kind]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def recipe_names(kind: str) -> list[str]:
    return sorted(file.stem for file in recipe_folder(kind).glob("*.yaml"))


def find_recipe(kind: str, name: str | Path) -> Path:
    """The file called `name`, or the recipe of that name which comes with dp_hf.

    Args:
        kind: `train`, `control` or `tasks`.

    Raises:
        UserError: neither.
    """
    file = user_path(name)
    if file.is_file() or file.suffix or len(file.parts) > 1:
        return file
    if file.name not in recipe_names(kind):
        raise UserError(f"{name}: no such file, and dp_hf has none of that name, only {', '.join(recipe_names(kind))}")
    return recipe_folder(kind) / f"{file.name}.yaml"
