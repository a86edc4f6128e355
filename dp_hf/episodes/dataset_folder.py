"""What lies in a dataset's folder, and which folder a new dataset may take the place of."""

from pathlib import Path

from dp_hf.episodes.metadata import META_FILE
from dp_hf.episodes.parquet import DATA_FOLDER
from dp_hf.errors import UserError
from dp_hf.hub.card import CARD_FILE

_OWN_FILES = {DATA_FOLDER, META_FILE, CARD_FILE}


def refuse_to_replace(target: Path) -> None:
    """Raises a UserError when `target` exists and is anything but a dataset that was written here."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file: give a folder for the dataset")
    names = {path.name for path in target.iterdir()}
    if names and META_FILE not in names:
        raise UserError(f"{target} holds other files than a dataset: give a new folder")
    if others := names - _OWN_FILES:
        raise UserError(f"{target} also holds {sorted(others)[0]}: move it away, or give a new folder")
