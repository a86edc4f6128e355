"""The folder of a run: whose it is, and where in it a run goes on."""

from pathlib import Path

from dp_hf.errors import UserError
from dp_hf.files import recover
from dp_hf.training.checkpoints import find_checkpoint, list_checkpoints
from dp_hf.training.config import TrainConfig

CONFIG_FILE = "train_config.yaml"
# Workers of a killed run hold its lock until they notice, which takes torch's data loader 5 seconds.
PATIENCE = 6.0


def checkpoint_to_continue(config: TrainConfig) -> Path | None:
    """None for a new run, and for one that was stopped before its first checkpoint, which begins anew.

    Raises:
        UserError: the data are not named, there is no such checkpoint, or another run would be overwritten.
    """
    if not config.data_dir:
        raise UserError("--data_dir is missing: a folder of episodes, a converted dataset, or a dataset id on the Hub")
    folder, which = config.output_dir, config.resume_from_checkpoint
    recover(folder)
    # A run that was killed before it wrote its options leaves no more than its lock.
    is_begun = folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())
    is_run, checkpoints = is_begun or (folder / CONFIG_FILE).exists(), list_checkpoints(folder)
    has_best, has_final = ((folder / name).exists() for name in ("best", "final"))
    if which and not (which == "latest" and is_run and not checkpoints and not has_final):
        return find_checkpoint(folder, which)
    if not which and is_run and (checkpoints or has_best or has_final):
        raise UserError(
            f"{folder}: holds a run already. Continue it with --resume_from_checkpoint latest, choose another "
            "--output_dir, or remove it"
        )
    return None
