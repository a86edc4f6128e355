"""The README.md of a dataset folder: what its columns mean, for people and for the Hub's viewer."""

from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from dp_hf.arms import mycobot_280
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.hub.card import CARD_FILE, PLACEHOLDER

_TEXT = """\
# {title}

Demonstrations of a robot arm, for training visuomotor policies.
Episodes: {num_episodes}; rows: {num_frames}; rows a second: {fps:g}. Made with `dp_hf`.

| column | type | meaning |
|---|---|---|
{image_rows}
| `state` | {state_dim} x float32 | {state} |
| `action` | {action_dim} x float32 | {action} |
| `episode_index` | int64 | position in `episodes` of `meta.json`; split by this, never by frame |
| `frame_index` | int64 | position in the episode |
| `timestamp` | float32 | seconds from the start of the episode |

{notes}```python
from dp_hf.episodes.dataset import load_dataset_folder

dataset, meta = load_dataset_folder("{placeholder}")
```

or, without dp_hf, `datasets.load_dataset("{placeholder}", split="train")`.

## Statistics

| | min | max | mean | std |
|---|---|---|---|---|
{statistics}
"""


def write_dataset_card(folder: Path, meta: DatasetMeta) -> None:
    """Writes `folder/README.md`."""
    data = DatasetCardData(
        task_categories=["robotics"],
        tags=["robotics", "imitation-learning", "dp_hf"],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
    )
    notes = []
    if meta.state == mycobot_280.QUANTITIES:
        notes.append("The gripper is closed at 0 and open at 100.")
    if meta.angle_unit_of_source == "radians":
        notes.append("The recording was in radians.")
    if meta.frame_skip > 1:
        notes.append(f"One of every {meta.frame_skip} recorded frames was kept.")
    same = meta.action == meta.state
    text = _TEXT.format(
        placeholder=PLACEHOLDER,
        state=meta.state,
        state_dim=len(meta.state_names),
        action_dim=len(meta.action_names),
        title=meta.source or "Demonstrations",
        num_episodes=len(meta.episodes),
        num_frames=meta.num_frames,
        fps=meta.fps,
        image_rows="\n".join(f"| `{name}` | image | RGB, as recorded |" for name in meta.camera_names),
        action=f"{meta.action_meaning}{', in the same units' if same else f': {meta.action}'}",
        notes=f"{' '.join(notes)}\n\n" if notes else "",
        statistics="\n".join(f"| {' | '.join(cells)} |" for cells in meta.statistics_table()),
    )
    DatasetCard(f"---\n{data}\n---\n\n{text}").save(folder / CARD_FILE)
