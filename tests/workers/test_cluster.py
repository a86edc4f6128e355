"""Work on a real scheduler and real workers on the loopback."""

import os
import pickle
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from dask_cluster import cluster

from dp_hf.errors import RunFailed, UserError
from dp_hf.workers.cluster import INSTALLED, _Setup, _work, require_trusted
from dp_hf.workers.workers import Workers

pytest.importorskip("distributed", reason="extra cluster")


class Slow:
    """Waits, and notes who worked on an item; ends its process at the item `deadly`, once or always."""

    def __init__(self, folder: Path, deadly: int | None = None, times: int = 1):
        self.folder, self.deadly, self.times = folder, deadly, times

    def __call__(self, item):
        time.sleep(0.05)
        if item == self.deadly and len([*self.folder.iterdir()]) < self.times:
            (self.folder / f"{time.time_ns()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item, os.getpid()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_work_survives_its_workers_and_not_its_scheduler(tmp_path, capfd):
    (tmp_path / "once").mkdir()
    (tmp_path / "always").mkdir()
    with cluster(tmp_path) as (address, scheduler):
        workers = Workers(cluster=address)
        found = workers.map(partial(Slow, tmp_path / "once", 7), range(30), "working")
        assert [item for item, _ in found] == list(range(30))
        assert len({process for _, process in found} - {os.getpid()}) >= 2
        with pytest.raises(RunFailed, match=r"4 workers of tcp.* have died at \(2, 2\)"):
            workers.map(partial(Slow, tmp_path / "always", 2, 100), range(4), "working")
        with pytest.raises(FileNotFoundError):
            workers.map(partial(Slow, tmp_path / "missing", 2), [2], "working")
        results = workers.as_finished(partial(Slow, tmp_path / "once"), range(1000), "working")
        next(results)
        os.killpg(scheduler.pid, signal.SIGKILL)
        with pytest.raises(RunFailed, match=r"the scheduler at tcp.* is gone"):
            list(results)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_scheduler_that_says_nothing_more_ends_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("dp_hf.workers.cluster._SILENCE", 2)
    with cluster(tmp_path) as (address, scheduler):
        results = Workers(cluster=address).as_finished(partial(Slow, tmp_path), range(1000), "working")
        next(results)
        os.kill(scheduler.pid, signal.SIGSTOP)
        with pytest.raises(RunFailed, match=r"the scheduler at tcp.* is gone"):
            list(results)


@pytest.mark.slow
def test_workers_of_several_threads_are_refused(tmp_path):
    with cluster(tmp_path, nthreads=2) as (address, _), pytest.raises(UserError, match="--nthreads 1"):
        Workers(cluster=address).map(partial(Slow, tmp_path), range(4), "working")


def test_no_scheduler_is_one_sentence(monkeypatch):
    monkeypatch.setattr("dp_hf.workers.cluster._PATIENCE", 1)
    with pytest.raises(UserError, match="no scheduler answers at tcp://127"):
        Workers(cluster="tcp://127.0.0.1:9").map(partial(Slow, Path()), range(4), "working")


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_what_listens_there_and_is_no_scheduler_is_one_sentence(greeting, monkeypatch):
    monkeypatch.setattr("dp_hf.workers.cluster._PATIENCE", 1)

    def greet(listening):
        with suppress(OSError):
            while True:
                connection = listening.accept()[0]
                connection.sendall(greeting)
                connections.append(connection)

    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=greet, args=[listening], daemon=True).start()
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no scheduler answers at {address}"):
            Workers(cluster=address).map(partial(Slow, Path()), range(4), "working")
    for connection in connections:
        connection.close()


def first_of_a_command(**changes):
    """What a worker of this process is told before it works, but for changes."""
    setup = _Setup("key", INSTALLED, os.getcwd(), [], pickle.dumps(partial(partial, list)))
    return replace(setup, **changes), "ab"


def test_a_worker_that_is_not_as_the_command_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr("dp_hf.workers.cluster._worker", {})
    with pytest.raises(UserError, match=r"numpy is 1\.0 where the command runs and \d.* on a worker"):
        _work(*first_of_a_command(installed=INSTALLED | {"numpy": "1.0"}))
    with pytest.raises(UserError, match=r"dp_hf is of sources \w+ where"):
        _work(*first_of_a_command(installed=INSTALLED | {"dp_hf": "of sources 0"}, setup=b"no such function"))
    with pytest.raises(UserError, match=r"a worker does not see .*absent"):
        _work(*first_of_a_command(folder=str(tmp_path / "absent")))
    with pytest.raises(UserError, match=f"a worker does not see {tmp_path}"):
        _work(*first_of_a_command(seen=[str(tmp_path / "absent")]))
    assert _work(*first_of_a_command()) == ["a", "b"]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "localhost:8786", "tls://[::1]:8786"])
def test_the_loopback_needs_no_trust(address):
    require_trusted(address, trusted=False)


@pytest.mark.parametrize("address", ["tcp://localhost", "127.0.0.1", "tcp://127.0.0.1:", "tcp://[::1]", ""])
def test_an_address_has_a_port(address):
    with pytest.raises(UserError, match="has no port"):
        require_trusted(address, trusted=True)


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:8786", "lab:8786", "tcp://0.0.0.0:8786", "127.0.0.1.evil.org:1"])
def test_other_machines_need_trust(address):
    with pytest.raises(UserError, match="--trust_cluster"):
        require_trusted(address, trusted=False)
    require_trusted(address, trusted=True)
