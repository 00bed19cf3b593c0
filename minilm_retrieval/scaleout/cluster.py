"""A Ray cluster: connected to, or started on this machine; and how its resources are shared out to workers."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import ClusterError, InvalidOptionError, MissingExtraError
from minilm_retrieval.whole_numbers import at_least

_USAGE_STATISTICS = "RAY_USAGE_STATS_ENABLED"


@dataclass(frozen=True)
class Workers:
    """How many processes embed, each with an embedder of its own, and what each of them gets.

    Attributes:
        count: ``None`` for as many as the cluster has processors, or GPUs, for.
        cpus: Processors of each, which is also its embedder's number of threads.
        gpus: GPUs of each: 0, or 1 to embed on it.

    Raises:
        InvalidOptionError: A number is out of range.
    """

    count: int | None = None
    cpus: int = 1
    gpus: int = 0

    def __post_init__(self) -> None:
        for name, smallest in (("count", 1), ("cpus", 1), ("gpus", 0)):
            value = getattr(self, name)
            if name == "count" and value is None:
                continue
            at_least(f"Workers: {name}", value, smallest)
        if self.gpus > 1:
            raise InvalidOptionError(f"Workers: one embedder runs on one GPU, so gpus must be 0 or 1, got {self.gpus}.")

    def counted(self, ray: Any) -> int:
        """Return how many workers there are to be.

        Raises:
            ClusterError: The cluster has no place for one.
        """
        resources = ray.cluster_resources()
        fitting = int(resources.get("CPU", 0)) // self.cpus
        if self.gpus:
            fitting = min(fitting, int(resources.get("GPU", 0)) // self.gpus)
        wanted = self.count or fitting
        # A cluster that grows by itself gives more than it has now to whoever says how many.
        if wanted == 0:
            gpus = f" and {self.gpus} GPU" if self.gpus else ""
            raise ClusterError(
                f"A worker is to have {self.cpus} processors{gpus}; the cluster has {resources.get('CPU', 0):g} "
                f"processors and {resources.get('GPU', 0):g} GPUs in all. For one that grows by itself, say how many "
                "workers there are to be."
            )
        return wanted

    def embedder(self, like: MiniLMEmbedder) -> MiniLMEmbedder:
        """Return the embedder of one worker: with the options of another, and the worker's own threads and device."""
        return MiniLMEmbedder(
            like.model_name,
            precision=like.precision,
            device="cuda" if self.gpus else None if like.device == "cpu" else like.device,
            threads=self.cpus,
            max_seq_length=like.requested_length,
            normalize=like.normalize,
            on_truncate=like.on_truncate,
        )


def ray_modules() -> tuple[Any, Any]:
    """Return the modules ``ray`` and ``ray.data``.

    Raises:
        MissingExtraError: Ray, or what its data library needs, is not installed.
    """
    # Ray reports its use to its makers unless it is told not to before it is imported.
    os.environ.setdefault(_USAGE_STATISTICS, "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("Ray Data", "ray") from error
    return ray, ray.data


@contextmanager
def connected(address: str | None = None) -> Iterator[tuple[Any, Any]]:
    """Connect to a cluster, and leave it at the end; a program that is connected already stays so.

    Args:
        address: As ``ray.init`` takes it: ``"host:port"``, ``"ray://host:port"``, ``"auto"`` for one that runs on this
            machine, ``"local"`` to start one; ``None`` for the one that the environment variable ``RAY_ADDRESS`` names
            or that runs on this machine, else to start one here, which ends with the context.

    Yields:
        The modules ``ray`` and ``ray.data``.

    Raises:
        ClusterError: There is no cluster at the address.
        MissingExtraError: Ray is not installed.
    """
    ray, data = ray_modules()
    if ray.is_initialized():
        yield ray, data
        return
    _connect(ray, address)
    try:
        yield ray, data
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    # Ray takes SIGTERM for itself.
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if in_main_thread else None
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=True)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError, OSError) as error:
        with suppress(Exception):
            ray.shutdown()
        named = "a Ray cluster on this machine" if address is None else f"the Ray cluster at {address!r}"
        raise ClusterError(
            f"Cannot use {named}: {' '.join(str(error).split()).rstrip('.')}. Start one with: ray start --head; or "
            "leave out the address to have one started here."
        ) from error
    finally:
        if in_main_thread and handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def quiet_blocks(data: Any) -> Iterator[None]:
    """Make datasets, inside, of blocks as small as they come, without Ray's own bars and notes of progress."""
    context = data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    # Every row is a lot of work that one worker takes as a whole; larger blocks would leave others without any.
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with data.DataContext.current(context), warnings.catch_warnings():
            # Of few files there is less to do at the same time than there are workers.
            warnings.filterwarnings("ignore", module=r"ray\.")
            yield
    finally:
        logger.setLevel(level)
