"""The processes of a run: that as many run as were asked for, and what is said where one of them ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator

from dp_hf.errors import RunFailed, UserError

# What launchers tell each process of how many there are; inside `srun`, the tasks of this step.
_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
# Of gloo and of torch, where the other end of a connection is gone.
_LOST = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused", "Socket closed", "remote peer")


def require_all(accelerator: Accelerator, wanted: int | None) -> None:
    """Raises `UserError` where another number of processes runs than was asked for.

    Args:
        wanted: as an option says; None where it says nothing, and then the launcher is asked, by what it has put into
            the environment. Each of several lone processes would train a policy of its own.
    """
    if wanted not in (None, accelerator.num_processes):
        raise UserError(
            f"{wanted} processes were asked for, {accelerator.num_processes} run. `accelerate launch --cpu "
            "--num_processes N` starts only one; use --config_file configs/accelerate/cpu_2_processes.yaml"
        )
    if wanted is None and accelerator.num_processes == 1 and (sign := _sign_of_others()):
        raise UserError(
            f"{sign}, so several processes were asked for, but this one knows of no other and would train alone. "
            "`accelerate launch --cpu` starts lone processes: --config_file configs/accelerate/cpu_2_processes.yaml, "
            "or cpu_nodes.yaml. If one is what you want: --num_processes 1"
        )


def _sign_of_others() -> str | None:
    for name in _COUNTS:
        if os.environ.get(name, "1") != "1":  # what is no number tells of others too
            return f"{name} is {os.environ[name]}"
    # accelerate's launcher of lone processes sets it where it was asked for several, and torch's sets WORLD_SIZE too.
    if "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        return f"MASTER_ADDR is {os.environ['MASTER_ADDR']}"
    return None


@contextmanager
def lost_process_named(accelerator: Accelerator) -> Iterator[None]:
    """What torch raises where another process of the run has ended becomes a `RunFailed`."""
    try:
        yield
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not any(sign in str(error) for sign in _LOST):
            raise
        raise RunFailed(
            "another process of this run has ended: see what its machine says, and start all of them again with "
            "--resume_from_checkpoint latest"
        ) from error
