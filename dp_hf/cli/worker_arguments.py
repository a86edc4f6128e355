"""The arguments of commands whose work can be spread, and what they make of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from dp_hf.errors import UserError
from dp_hf.ranges import Range
from dp_hf.workers.workers import Workers


@dataclass(kw_only=True)
class WorkerArguments:
    """Where independent work is done."""

    num_workers: Annotated[int, Range(1, 1024)] | None = None
    """processes that work at the same time; each decodes pictures on one core. Default this one alone, which decodes
    those of recordings on up to 8 threads"""
    cluster: str | None = None
    """address of a Dask scheduler, such as tcp://127.0.0.1:8786, whose workers do the work in place of processes of
    this machine (extra cluster)"""
    trust_cluster: bool = False
    """take a --cluster of other machines: whoever can reach it can run code on all of them"""

    def worker_flags(self) -> list[str]:
        """The same for another command."""
        given = {"--num_workers": self.num_workers, "--cluster": self.cluster}
        flags = [str(word) for name, value in given.items() if value is not None for word in (name, value)]
        return flags + ["--trust_cluster"] * self.trust_cluster

    def workers(self, reads: Sequence[Path] = (), writes: Sequence[Path] = ()) -> Workers:
        """Where work is done that finds and leaves files in these folders."""
        if self.cluster is None:
            if self.trust_cluster:
                raise UserError("--trust_cluster is for a --cluster: give its address, or leave it out")
            return Workers(self.num_workers)
        if self.num_workers is not None:
            raise UserError("--num_workers is of this machine: leave it out where --cluster works, or leave that out")
        from dp_hf.workers.cluster import require_trusted

        require_trusted(self.cluster, self.trust_cluster)
        return Workers(cluster=self.cluster, reads=tuple(reads), writes=tuple(writes))
