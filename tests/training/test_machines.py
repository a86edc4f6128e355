"""Several "machines" on the loopback, started by accelerate's own launcher."""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from test_resume import KINDS, ROOT, assert_same_run, command, wait_for_checkpoint

from dp_hf.errors import UserError
from dp_hf.training.trainer import train

LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", "--config_file"]
ENVIRONMENT = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@contextmanager
def two_machines(config, *flags, launch=("cpu_nodes.yaml",), environment=ENVIRONMENT):
    """Yields both launchers."""
    file, *of_launcher = launch
    place = ["--main_process_ip", "127.0.0.1", "--main_process_port", free_port(), *of_launcher]
    machines = []
    try:
        for rank in range(2):
            launched = [*LAUNCH, str(ROOT / "configs/accelerate" / file), "--machine_rank", str(rank), *place]
            pipes = {"stderr": subprocess.PIPE, "text": True, "env": environment}
            machines.append(subprocess.Popen([*launched, *command(config, *flags)], **pipes))
        yield machines
    finally:
        for machine in machines:
            kill(machine)
            machine.stderr.close()


def kill(machine: subprocess.Popen) -> None:
    """Ends the launcher and its process, which is in a session of its own."""
    if machine.poll() is None:
        for process in [psutil.Process(machine.pid), *psutil.Process(machine.pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    machine.wait()


@pytest.mark.slow
def test_two_machines_train_one_policy_and_resume_after_one_was_killed(make_config, tmp_path):
    """Equal to one machine with two processes, which nobody kills."""
    options = KINDS["learning encoder"] | {"num_epochs": 30, "save_steps": 10, "save_interval": 30}
    whole = make_config(**options, output_dir=tmp_path / "whole")
    one = [*LAUNCH, str(ROOT / "configs/accelerate/cpu_2_processes.yaml"), "--main_process_port", free_port()]
    subprocess.run([*one, *command(whole)], env=ENVIRONMENT, check=True)

    config = make_config(**options, output_dir=tmp_path / "machines")
    with two_machines(config) as (first, second):
        wait_for_checkpoint(first, config.output_dir)
        kill(second)
        _, said = first.communicate(timeout=60)
        assert first.returncode == 1
        assert "error: another process of this run has ended" in said
    assert not (config.output_dir / "final").exists()

    with two_machines(config, "--resume_from_checkpoint", "latest") as machines:
        for machine in machines:
            _, said = machine.communicate(timeout=600)
            assert machine.returncode == 0, said
    assert_same_run(whole.output_dir, config.output_dir)


@pytest.mark.slow
def test_lone_processes_of_the_launcher_are_refused(make_config):
    config = make_config()
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "ACCELERATE_USE_CPU"}
    with two_machines(config, launch=("cpu_nodes.yaml", "--cpu"), environment=environment) as machines:
        for machine in machines:
            _, said = machine.communicate(timeout=600)
            assert machine.returncode == 1
            assert "error: MASTER_ADDR is 127.0.0.1, so several processes were asked for" in said
    assert not Path(config.output_dir, "final").exists()


@pytest.mark.parametrize(
    ("variable", "value"), [("MASTER_ADDR", "2"), ("SLURM_STEP_NUM_TASKS", "2"), ("SLURM_STEP_NUM_TASKS", "-1")]
)
def test_lone_processes_are_refused_unless_one_is_wanted(variable, value, make_config, monkeypatch):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=f"{variable} is {value}, so several processes were asked for"):
        train(make_config(num_epochs=1))
