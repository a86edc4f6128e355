"""Workers of a Dask cluster. Its parts unpickle what they send one another: whoever can reach it can run code on it."""

import asyncio
import hashlib
import ipaddress
import logging
import os
import pickle
import re
import sys
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from dp_hf.errors import RunFailed, UserError
from dp_hf.workers.processes import work_on_one_thread
from dp_hf.workers.shared_disk import require_seen, witnesses
from dp_hf.workers.workers import Setup, died_at

_PATIENCE = 10  # seconds until a scheduler answers
_UNDER_WAY = 2  # items for each worker: one that it works on, one that lies ready
_ASKED_EVERY = 2  # seconds
_SILENCE = 30  # seconds after which a scheduler that answered before is gone
_WITHOUT_WORKERS = 60  # seconds: those that died may come back
_AGAIN = "start scheduler and workers again, and then this command"


class Cluster:
    """An `Engine` of all workers of the scheduler at an address.

    Raises:
        UserError: the library is not there, no scheduler answers, it has no workers, or they have several threads; a
            worker has other versions, or does not see the folders.
    """

    def __init__(self, address: str, setup: Setup, reads: Sequence[Path] = (), writes: Sequence[Path] = ()):
        self.address, self.setup = address, setup
        self.reads, self.writes = reads, writes
        self._stack = ExitStack()
        self._asked = self._had_workers = time.monotonic()
        self._capacity = 1

    def __enter__(self) -> "Cluster":
        distributed = _library()
        try:
            asyncio.run(asyncio.wait_for(_answer(self.address), _PATIENCE))
            self._client = distributed.Client(self.address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError, TimeoutError, asyncio.TimeoutError, MemoryError) as error:
            reason = str(error) or f"nothing for {_PATIENCE} s"
            raise UserError(
                f"no scheduler answers at {self.address} ({reason}): start one with `dask scheduler`"
            ) from error
        try:
            seen = self._stack.enter_context(witnesses(self.reads, self.writes))
            self._setup = _Setup(uuid.uuid4().hex, INSTALLED, os.getcwd(), seen, pickle.dumps(self.setup))
            try:
                self._client.wait_for_workers(1, timeout=_PATIENCE)
            except TimeoutError as error:
                sentence = f"the scheduler at {self.address} has no workers: start some with `dask worker`"
                raise UserError(sentence) from error
            threads = self._threads()
            if wrong := [name for name, number in threads.items() if number != 1]:
                raise UserError(
                    f"the worker {wrong[0]} has {threads[wrong[0]]} threads, and OpenGL belongs to one: start it with "
                    "--nthreads 1, and --nworkers for the cores"
                )
            self._executor = self._client.get_executor()
        except BaseException:
            self._stack.close()
            self._client.close()
            raise
        return self

    def __exit__(self, *exception) -> None:
        # What was not begun is withdrawn; what was begun finishes there, and nobody waits for it.
        self._executor.shutdown(wait=False)
        self._client.close(timeout=_PATIENCE)
        self._stack.close()

    def capacity(self) -> int:
        if time.monotonic() > self._asked + _ASKED_EVERY:
            self.require_alive()
        return self._capacity

    def submit(self, item: object) -> Future:
        outer: Future = Future()
        outer.set_running_or_notify_cancel()
        inner = self._executor.submit(_work, self._setup, item)
        inner.add_done_callback(lambda inner: self._finish(item, inner, outer))
        return outer

    def require_alive(self) -> None:
        if self._threads():
            self._had_workers = self._asked
        elif self._asked > self._had_workers + _WITHOUT_WORKERS:
            raise RunFailed(f"the scheduler at {self.address} has had no workers for {_WITHOUT_WORKERS} s: {_AGAIN}")

    def _threads(self) -> dict[str, int]:
        """How many each worker has."""
        try:
            if self._client.status != "running":
                raise OSError("no connection")
            client = self._client
            threads = client.sync(client.scheduler.ncores, workers=None, callback_timeout=_SILENCE)
        except (OSError, TimeoutError) as error:
            raise self._gone(error) from error
        self._asked = time.monotonic()
        self._capacity = _UNDER_WAY * max(1, len(threads))
        return threads

    def _gone(self, error: BaseException) -> RunFailed:
        reason = f" ({error})" if str(error) else ""
        return RunFailed(f"the scheduler at {self.address} is gone{reason}: {_AGAIN}")

    def _finish(self, item: object, inner: Future, outer: Future) -> None:
        from distributed import KilledWorker

        try:
            outer.set_result(inner.result())
        except KilledWorker as error:  # after as many workers as the scheduler allows
            outer.set_exception(died_at(item, f"{error.allowed_failures + 1} workers of {self.address}"))
        except CancelledError as error:
            outer.set_exception(self._gone(error))
        except BaseException as error:
            outer.set_exception(error)


def require_trusted(address: str, trusted: bool) -> None:
    """Raises a `UserError` for the address of another machine, unless the caller says that it can be trusted."""
    host, _, port = re.sub(r"^\w+://", "", address).rpartition(":")
    if not port.isdecimal():
        raise UserError(f"--cluster {address} has no port: give all of the address, such as tcp://127.0.0.1:8786")
    host = host.strip("[]")
    try:
        is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not (host and is_here) and not trusted:
        raise UserError(
            f"{address} is not on this machine's loopback, and whoever can reach a Dask cluster can run code on it and "
            "on whoever works with it: give --trust_cluster where its network is yours alone"
        )


def _library() -> Any:
    try:
        library = import_module("distributed")
    except ModuleNotFoundError as error:
        raise UserError("--cluster needs Dask: pip install 'dp_hf[cluster]', on every machine") from error
    # A lost scheduler is one sentence of ours, not the library's tracebacks from its attempts to come back.
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return library


async def _answer(address: str) -> None:
    """Returns once a scheduler has answered: its client would wait for ever where something else listens, or take a
    greeting for the length of a message."""
    from distributed import Security
    from distributed.comm import connect

    comm = await connect(address, timeout=_PATIENCE, **Security().get_connection_args("client"))
    await comm.close()


def _installed() -> dict[str, str]:
    """What has to be the same everywhere, for the results to be: our own sources, and versions."""
    root = Path(__file__).parents[1]
    sources = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        sources.update(file.read_bytes())
    versions = {"Python": ".".join(map(str, sys.version_info[:2])), "dp_hf": f"of sources {sources.hexdigest()[:12]}"}
    for name in ("numpy", "torch", "pillow", "pyarrow", "datasets", "mujoco"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not there"
    return versions


# Of what this process runs: the files may become others.
INSTALLED = _installed()


@dataclass(frozen=True)
class _Setup:
    """What a worker needs before the first item of a command; its own `setup` pickled, for it may not have it."""

    key: str
    installed: dict[str, str]
    folder: str
    seen: list[str]
    setup: bytes


_worker: dict[str, Any] = {}


def _work(setup: _Setup, item: Any) -> Any:
    if _worker.get("key") != setup.key:
        _worker.clear()
        for name, version in setup.installed.items():
            if (here := INSTALLED[name]) != version:
                where = "where the command runs"
                raise UserError(f"{name} is {version} {where} and {here} on a worker: install the same, start it again")
        try:
            os.chdir(setup.folder)  # paths are those of the command
        except OSError as error:
            raise UserError(
                f"a worker does not see {setup.folder} ({error.strerror}): run the command in a folder on a disk that "
                "all machines share"
            ) from error
        require_seen(setup.seen)
        work_on_one_thread()
        _forget()
        _worker["function"] = pickle.loads(setup.setup)()  # a cluster is trusted
        _worker["key"] = setup.key
    return _worker["function"](item)


def _forget() -> None:
    """Empties the caches in memory: a worker outlives commands, and files change in between."""
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "dp_hf":
            for value in [*vars(module).values()]:
                if callable(clear := getattr(value, "cache_clear", None)):
                    clear()
