"""Names and limits of the episode folder, shared by its writer and its readers.

```
DATA_DIR/
  episode_YYYYMMDD_HHMMSS_mmm/
    states.json                  # a JSON list, one object per frame; JSON lines are read too
    frame_dir/image_00000.png
  FAILED_EPISODE_YYYYMMDD_HHMMSS_mmm.txt   # only when the episode of that time failed
```

A frame: `{"angles": [6 numbers], "gripper_value": [number], "image": "frame_dir/image_00000.png"}`; several
cameras as `"images": {camera: path}` in place of `image`; optional `timestamp` (seconds), `action` (the
command given at this frame: six angles and the gripper, in the units of `angles` and `gripper_value`) and, of a run
of a policy, `actor` (who acted: "person", "policy", or "nobody" while the arm was held).

Of another arm than a myCobot, `recording.json` beside the episodes has names and units of the numbers and the rate,
and a frame has the list `state` in place of `angles` and `gripper_value`, and maybe `action`, of the same numbers.
"""

from pathlib import Path
from typing import Literal, TypeAlias, get_args

from dp_hf.arms.mycobot_280 import MYCOBOT_280

# Of a frame's angles and gripper_value in one, and of its action.
QUANTITIES = MYCOBOT_280.quantities
STATE_DIM = len(QUANTITIES)

_PART = ".part"

Actor: TypeAlias = Literal["person", "policy", "nobody"]
ACTORS: tuple[Actor, ...] = get_args(Actor)

STATES_FILE = "states.json"
RECORDING_FILE = "recording.json"
STATES_FILES = (STATES_FILE, "state.json", "states.jsonl")
FRAME_FOLDER = "frame_dir"
IMAGE_NAME = "image_{:05d}.png"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

FAILED_PREFIX = "FAILED_EPISODE_"
PARTIAL_SUFFIX = "_partial"
SET_ASIDE_FOLDER = "_set_aside"

MIN_FRAMES = 5
DEFAULT_FPS = 10.0


def unfinished(episode: Path) -> Path:
    """Where an episode is recorded, hidden beside its place, until it is finished."""
    return episode.with_name(f".{episode.name}{PARTIAL_SUFFIX}")


def part_name(episode: str, number: int) -> str:
    """What the `number`-th part of an episode that is cut at holes is called in a dataset."""
    return f"{episode}{_PART}{number}"


def whole_episode(name: str) -> str:
    """The recorded episode that an episode of a dataset is, or is a part of."""
    before, _, number = name.rpartition(_PART)
    return whole_episode(before) if before and number.isdecimal() else name
