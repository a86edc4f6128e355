"""A real Dask scheduler and real workers on the loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

HOST = "127.0.0.1"


@contextmanager
def started(*arguments):
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *map(str, arguments[1:]), "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # workers import what is imported here
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def cluster(tmp_path, nthreads=1):
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    address = f"tcp://{HOST}:{port}"
    folder = ("--local-directory", tmp_path / "dask")
    with ExitStack() as stack:
        scheduler = stack.enter_context(started("dask_scheduler", "--host", HOST, "--port", port))
        threads = ("--nworkers", 2, "--nthreads", nthreads)
        stack.enter_context(started("dask_worker", address, "--host", HOST, *threads, *folder))
        wait_for_workers(address)
        yield address, scheduler


def wait_for_workers(address):
    from distributed import Client

    for _ in range(60):
        try:
            with Client(address, timeout=2, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=60)
                return
        except OSError:
            time.sleep(0.5)
