"""Folders that are something else than a command wants: each is known by a file, and named with what reads it."""

from pathlib import Path

from dp_hf.errors import UserError

LEROBOT_INFO, SAVED_ROWS = "meta/info.json", "dataset_info.json"
_CHECKPOINT, _RUN = "random_states_0.pkl", "train_config.yaml"
# A file or pattern that only such a folder has, what it is, and the remedy; {} stands for the folder.
_KINDS = (
    (LEROBOT_INFO, "a LeRobot dataset", "`dp-hf convert-episodes from-lerobot --data_dir {} --output_dir NEW` first"),
    ("dataset_dict.json", "splits saved by `datasets`' save_to_disk", "write the rows with dp_hf's DatasetWriter"),
    (SAVED_ROWS, "rows saved by `datasets`' save_to_disk", "write the rows with dp_hf's DatasetWriter"),
    (_CHECKPOINT, "a training's checkpoint", "`dp-hf train --resume_from_checkpoint {}` goes on with it"),
    (_RUN, "the output of a training", "its recordings are what data_dir names in it"),
    ("model_index.json", "a policy", "`dp-hf infer --pipeline {}` reads it"),
    (
        "results.json",
        "an evaluation",
        "it keeps no frames: `dp-hf report --training RUN --evaluation {}` shows it, and its video",
    ),
    ("*.db3", "a ROS 2 bag", "`dp-hf convert-episodes from-rosbag --data_dir {} --output_dir NEW` first"),
    ("*.mcap", "a ROS 2 bag", "`dp-hf convert-episodes from-rosbag --data_dir {} --output_dir NEW` first"),
    ("data/train-*-of-*.parquet", "converted rows", "`dp-hf train --data_dir {}` reads them, with their meta.json"),
)


def refuse_other_kinds(folder: Path, wanted: str) -> None:
    """Raises a UserError for a folder of a known kind; names the kind, and what reads it or what in it is meant.

    Args:
        folder: in which the caller did not find what it looks for.
        wanted: what that is, such as `folder of episodes`.
    """
    for pattern, kind, remedy in _KINDS:
        if next(folder.glob(pattern), None) is not None:
            remedies = [remedy.format(folder), *_policy_of(folder, pattern)]
            raise UserError(f"{folder} is {kind} ({pattern}), no {wanted}: {'; '.join(remedies)}")


def _policy_of(folder: Path, pattern: str) -> list[str]:
    """What is said of the policy of a training, for its output's or a checkpoint's folder."""
    if pattern not in (_CHECKPOINT, _RUN):
        return []
    run = folder if pattern == _RUN else folder.parent
    for name in ("best", "final"):
        if (run / name / "model_index.json").is_file():
            return [f"the trained policy is {run / name}"]
    return ["it has written no policy yet (best, final)"]
