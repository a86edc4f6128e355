"""The task of reach.yaml, which comes with dp_hf, and policies of random weights for it, in the working folder."""

import shutil
from pathlib import Path

from dp_hf.cli.recipes import recipe_folder

TASK = ["--task_file", "reach.yaml"]


def copy_task(folder: Path) -> None:
    for name in ("reach.py", "reach.yaml"):
        shutil.copy(recipe_folder("tasks") / name, folder)


def save_policy(make_pipeline, place: str = "policy", **options) -> None:
    names = {"state_names": ["x", "y"], "action_names": ["dx", "dy"]}
    units = {"state_units": ["metres"] * 2, "action_units": ["none"] * 2}
    sizes = {"state_dim": 2, "action_dim": 2, "horizon": 4, "image_size": (16, 16), "fps": 10}
    make_pipeline(num_train_timesteps=4, **sizes, **names, **units, **options).save_pretrained(place)
