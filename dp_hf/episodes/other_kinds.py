"""Folders that are no recording but are taken for one: each is known by a file, and named with what reads it."""

from pathlib import Path

from dp_hf.errors import UserError

LEROBOT_INFO, SAVED_ROWS = "meta/info.json", "dataset_info.json"
# A file or pattern that only such a folder has, what it is, and the remedy; {} stands for the folder.
_KINDS = (
    (LEROBOT_INFO, "a LeRobot dataset", "`dp-hf convert-episodes from-lerobot --data_dir {} --output_dir NEW` first"),
    ("dataset_dict.json", "splits saved by `datasets`' save_to_disk", "write the rows with dp_hf's DatasetWriter"),
    (SAVED_ROWS, "rows saved by `datasets`' save_to_disk", "write the rows with dp_hf's DatasetWriter"),
    ("random_states_0.pkl", "a training's checkpoint", "`dp-hf train --resume_from_checkpoint {}` goes on with it"),
    ("model_index.json", "a policy", "`dp-hf infer --pipeline {}` reads it; give the folder of the recordings here"),
    ("*.db3", "a ROS 2 bag", "`dp-hf convert-episodes from-rosbag --data_dir {} --output_dir NEW` first"),
    ("*.mcap", "a ROS 2 bag", "`dp-hf convert-episodes from-rosbag --data_dir {} --output_dir NEW` first"),
    ("data/train-*-of-*.parquet", "converted rows", "`dp-hf train --data_dir {}` reads them, with their meta.json"),
)


def refuse_other_kinds(folder: Path) -> None:
    """Raises a UserError for a folder of another kind than a recording; names the kind and what reads it."""
    for pattern, kind, remedy in _KINDS:
        if next(folder.glob(pattern), None) is not None:
            raise UserError(f"{folder} is {kind} ({pattern}), no folder of episodes: {remedy.format(folder)}")
