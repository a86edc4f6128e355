"""The README.md of a dataset folder: what its columns mean, for people and for the Hub's viewer."""

from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from dp_hf.episodes.metadata import DatasetMeta

CARD_FILE = "README.md"

_TEXT = """\
# {title}

Demonstrations of a robot arm, for training visuomotor policies.
Episodes: {num_episodes}; rows: {num_frames}; rows a second: {fps:g}. Made with `dp_hf`.

| column | type | meaning |
|---|---|---|
{image_rows}
| `state` | {state_dim} x float32 | {state} |
| `action` | {action_dim} x float32 | {action}, in the same units |
| `episode_index` | int64 | position in `episodes` of `meta.json`; split by this, never by frame |
| `frame_index` | int64 | position in the episode |
| `timestamp` | float32 | seconds from the start of the episode |

Joints: {joints}.{conversion}

```python
from dp_hf.episodes.dataset import load_dataset_folder

dataset, meta = load_dataset_folder("THIS_REPOSITORY")
```

or, without dp_hf, `datasets.load_dataset("THIS_REPOSITORY", split="train")`.

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
    conversion = ""
    if meta.angle_unit_of_source == "radians":
        conversion += " The recording was in radians."
    if meta.frame_skip > 1:
        conversion += f" One of every {meta.frame_skip} recorded frames was kept."
    state = "joint angles in degrees, then the gripper: 0 closed, 100 open"
    if meta.angle_unit_of_source not in ("degrees", "radians"):
        state = f"{', '.join(meta.state_names)}, in the units of the source"
    text = _TEXT.format(
        state=state,
        state_dim=len(meta.state_names),
        action_dim=len(meta.action_names),
        title=meta.source or "Demonstrations",
        num_episodes=len(meta.episodes),
        num_frames=meta.num_frames,
        fps=meta.fps,
        image_rows="\n".join(f"| `{name}` | image | RGB, as recorded |" for name in meta.camera_names),
        action=meta.action_meaning,
        joints=", ".join(f"`{name}`" for name in meta.joint_names),
        conversion=conversion,
        statistics="\n".join(
            f"| {column} {name} | "
            + " | ".join(f"{values[key][index]:.2f}" for key in ("min", "max", "mean", "std"))
            + " |"
            for column, values in meta.statistics.items()
            for index, name in enumerate(meta.names(column))
        ),
    )
    DatasetCard(f"---\n{data}\n---\n\n{text}").save(folder / CARD_FILE)
