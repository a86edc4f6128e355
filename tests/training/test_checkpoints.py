import json
import signal
import subprocess
import sys

from accelerate import Accelerator

from dp_hf.training.checkpoints import Progress, find_checkpoint, list_checkpoints, save_checkpoint
from dp_hf.training.origin import Origin

SAVE = """
import os, signal, sys
from pathlib import Path
from accelerate import Accelerator
from dp_hf.training.checkpoints import Progress, save_checkpoint
from dp_hf.training.origin import Origin

kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
rename = Path.rename

def killed_after_rename(path, new):
    rename(path, new)
    kill()

def save(batch):
    progress = Progress(1, 1, step=7, batch=batch)
    save_checkpoint(Accelerator(cpu=True), Path(sys.argv[1]), progress, None, Origin("", None, {}), 3)

save(1)
if sys.argv[2] == "between the renames":
    Path.rename = killed_after_rename
if sys.argv[2] == "while writing":
    Accelerator.save_state = lambda self, folder: (Path(folder, "half").touch(), kill())
save(2)
"""


def killed_at(folder, moment):
    return subprocess.run([sys.executable, "-c", SAVE, str(folder), moment]).returncode


def batch_of(checkpoint):
    return json.loads((checkpoint / "progress.json").read_text())["batch"]


def test_a_checkpoint_is_replaced_whole(tmp_path):
    for batch in (1, 2):
        progress = Progress(1, 1, step=7, batch=batch)
        save_checkpoint(Accelerator(cpu=True), tmp_path, progress, None, Origin("", None, {}), 3)
    assert list(tmp_path.iterdir()) == [tmp_path / "checkpoint-7"]
    assert batch_of(find_checkpoint(tmp_path, "latest")) == 2


def test_the_only_checkpoint_outlives_every_kill(tmp_path):
    for moment in ("while writing", "between the renames"):
        folder = tmp_path / moment
        assert killed_at(folder, moment) == -signal.SIGKILL
        assert batch_of(find_checkpoint(folder, "latest")) == 1
        # Nothing is left of the killed writer.
        assert list(folder.iterdir()) == [folder / "checkpoint-7"]


def test_checkpoints_are_in_order_of_their_steps(tmp_path):
    for name in ("checkpoint-10", "checkpoint-9", ".checkpoint-11.partial", "checkpoint-x"):
        (tmp_path / name).mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-10"]
