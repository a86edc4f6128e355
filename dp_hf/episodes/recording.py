"""`recording.json` beside episode folders: what the numbers in their frames are, where they are not a myCobot's."""

import json
from dataclasses import dataclass
from pathlib import Path

from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.format import QUANTITIES, RECORDING_FILE
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, inside, read_json

_KEYS = {"names", "units", "fps"}


@dataclass(frozen=True)
class Recording:
    """What the frames of all episodes in a folder have in common.

    Attributes:
        quantities: the numbers of a state and of an action.
        fps: frames a second that were asked for; the timestamps say what they were.
    """

    quantities: Quantities
    fps: float

    @classmethod
    def of(cls, quantities: Quantities, fps: float) -> "Recording | None":
        """None for a myCobot, whose frames say by themselves what they are."""
        return None if quantities == QUANTITIES else cls(quantities, float(fps))

    @classmethod
    def read(cls, folder: Path) -> "Recording | None":
        """That of the episodes in `folder`; None where there is no such file.

        Raises:
            UserError: the file is damaged, or says something else.
        """
        file = folder / RECORDING_FILE
        if not file.is_file():
            return None
        values = read_json(inside(folder, RECORDING_FILE))
        names, units, fps = (values.get(key) for key in ("names", "units", "fps"))
        texts = all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in (names, units))
        is_rate = isinstance(fps, (int, float)) and not isinstance(fps, bool) and 0 < fps < 1e6
        if set(values) != _KEYS or not texts or not names or not is_rate:
            raise UserError(f"{file}: holds other than names, units and fps; restore it")
        try:
            return cls(Quantities(tuple(names or ()), tuple(units or ())), float(fps or 0))
        except UserError as error:
            raise UserError(f"{file}: {error}") from error


def numbers_of(recording: Recording | None) -> Quantities:
    """What the numbers of an episode are; without a recording a myCobot's."""
    return QUANTITIES if recording is None else recording.quantities


def require_room(folder: Path, recording: Recording | None) -> None:
    """Refuses a folder of episodes whose numbers or rate are others.

    Args:
        folder: may be absent.
        recording: of the episodes that are to be recorded there; None for a myCobot's.

    Raises:
        UserError: they do not belong together.
    """
    there = Recording.read(folder)
    if there == recording or not folder.is_dir():
        return
    if there is None and not find_episodes(folder):
        return
    if difference := numbers_of(there).difference(numbers_of(recording)):
        raise UserError(f"{folder} holds episodes of another arm: this one {difference}; record into another folder")
    assert there is not None
    assert recording is not None
    raise UserError(
        f"{folder} holds episodes of {there.fps:g} frames a second: record at this rate instead of"
        f" {recording.fps:g}, or into another folder"
    )


def write_recording(folder: Path, recording: Recording | None) -> None:
    """Puts the file there, if it is not; the folder exists.

    Raises:
        UserError: as `require_room`.
    """
    require_room(folder, recording)
    if recording is None or Recording.read(folder) is not None:
        return
    numbers = recording.quantities
    values = {"names": list(numbers.names), "units": list(numbers.units), "fps": recording.fps}
    with file_written_beside(folder / RECORDING_FILE) as file:
        file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
