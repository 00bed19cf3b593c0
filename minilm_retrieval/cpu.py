"""How many threads this process may usefully run.

The operating system's processor count is the wrong answer in a container, under ``taskset`` and on processors with
two hardware threads a core: too many threads make a matrix product many times slower. The budget is the smallest of
what each authority grants, and :class:`ThreadBudget` says which one decided.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from minilm_retrieval.whole_numbers import at_least

ENVIRONMENT_VARIABLE = "MINILM_THREADS"

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_SELF_CGROUP = Path("/proc/self/cgroup")
_CPU_TOPOLOGY = Path("/sys/devices/system/cpu")
_NODES = Path("/sys/devices/system/node")
# From here on more streams bring no more than more threads a stream do, and each costs memory.
_ONE_THREAD_STREAMS = 8
_TWO_THREAD_STREAMS = 32
# More threads than this for a single text spend their time waiting for each other.
_LATENCY_THREADS = 16


@dataclass(frozen=True)
class ThreadBudget:
    """A number of threads and the sentence that explains it."""

    threads: int
    reason: str


def thread_budget(threads: int | None = None) -> ThreadBudget:
    """Return how many threads to use.

    Args:
        threads: An explicit number, which wins over everything; ``None`` to find out.

    Returns:
        The budget: ``threads``, else ``MINILM_THREADS``, else the smallest of the processors this process may run on
        (affinity, which a cpuset also sets), their physical cores, and the control group's quota rounded up.

    Raises:
        InvalidOptionError: The number given, or the environment variable, is not a positive whole number.
    """
    if threads is not None:
        return ThreadBudget(_positive(threads, "threads"), "given as threads=")
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if from_environment:
        return ThreadBudget(_positive(from_environment, ENVIRONMENT_VARIABLE), f"set by {ENVIRONMENT_VARIABLE}")

    allowed = allowed_processors()
    budget = ThreadBudget(len(allowed), f"{len(allowed)} processors allowed by the operating system")
    cores = _physical_cores(allowed)
    if cores and cores < budget.threads:
        budget = ThreadBudget(cores, f"{cores} physical cores behind {len(allowed)} allowed processors")
    quota = cgroup_quota()
    if quota is not None and math.ceil(quota) < budget.threads:
        budget = ThreadBudget(max(1, math.ceil(quota)), f"control group quota of {quota:g} processors")
    return budget


@dataclass(frozen=True)
class StreamPlan:
    """How an engine divides its threads.

    Attributes:
        latency_threads: Threads that work on a single batch together.
        streams: How many batches run side by side when there are several.
        reason: The sentence that explains it.
    """

    latency_threads: int
    streams: int
    reason: str


def stream_plan(threads: int, nodes: int | None = None) -> StreamPlan:
    """Divide threads into streams, each of which computes one batch at a time.

    Up to eight threads each have a stream of their own: nothing waits for anything. Above that streams get two
    threads, above 32 four, since every stream keeps buffers and kernels of its own and must be fed with batches. The
    streams are a multiple of the memory nodes, so that OpenVINO can keep each on one node; and one text is computed
    on one node.

    Args:
        threads: How many there are.
        nodes: Memory (NUMA) nodes they run on; ``None`` to find out.

    Source: OpenVINO documentation, Performance Hints and Thread Scheduling (CPU device): threads of a stream share
    the stream's memory node where the streams can be divided that way, and a latency request stays on one node.
    """
    nodes = max(1, min(_memory_nodes(allowed_processors()) if nodes is None else nodes, threads))
    per_stream = 1 if threads <= _ONE_THREAD_STREAMS else 2 if threads <= _TWO_THREAD_STREAMS else 4
    on_a_node = math.ceil(threads / nodes)
    streams = min(threads, nodes * math.ceil(on_a_node / per_stream))
    latency = min(on_a_node, _LATENCY_THREADS)
    on = f" on {nodes} memory nodes" if nodes > 1 else ""
    reason = f"{streams} batches side by side{on}; a single one with {latency} threads"
    if threads == 1:
        reason = "one batch at a time"
    return StreamPlan(latency, streams, reason)


def allowed_processors() -> frozenset[int]:
    """Return the numbers of the processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cgroup_quota(root: Path = _CGROUP_ROOT, membership: Path = _SELF_CGROUP) -> float | None:
    """Return the CPU quota of this process's control group in processors, or ``None`` where there is none.

    Reads version 2 (``cpu.max``) and version 1 (``cpu.cfs_quota_us``). A parent's smaller quota binds its children,
    so every level up to the root is read.

    Source: Linux kernel documentation, ``admin-guide/cgroup-v2.rst`` and ``scheduler/sched-bwc.rst``.
    """
    quotas = []
    for directory in _cgroup_directories(root, membership):
        quota = _quota_v2(directory / "cpu.max")
        if quota is None:
            quota = _quota_v1(directory)
        if quota is not None:
            quotas.append(quota)
    return min(quotas, default=None)


def _cgroup_directories(root: Path, membership: Path) -> list[Path]:
    directories = [root, root / "cpu", root / "cpu,cpuacct"]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return directories
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        bases = [root] if not controllers else [root / "cpu", root / "cpu,cpuacct"]
        parts = [part for part in path.split("/") if part and part != ".."]
        directories += [base.joinpath(*parts[:depth]) for base in bases for depth in range(1, len(parts) + 1)]
    return directories


def _quota_v2(file: Path) -> float | None:
    try:
        quota, period = file.read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(directory: Path) -> float | None:
    try:
        quota = int((directory / "cpu.cfs_quota_us").read_text())
        period = int((directory / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _physical_cores(processors: frozenset[int], topology: Path = _CPU_TOPOLOGY) -> int:
    """Count distinct cores behind the processors; 0 where the system does not tell."""
    cores = set()
    for processor in processors:
        try:
            cores.add((topology / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text().strip())
        except OSError:
            return 0
    return len(cores)


def _memory_nodes(processors: frozenset[int], nodes: Path = _NODES) -> int:
    """Count the memory nodes of the processors; 1 where the system does not tell."""
    count = 0
    for node in nodes.glob("node[0-9]*"):
        try:
            count += not processors.isdisjoint(listed_numbers((node / "cpulist").read_text()))
        except (OSError, ValueError):
            return 1
    return max(1, count)


def listed_numbers(listed: str) -> list[int]:
    """Read the kernel's list format, such as ``0-3,8``."""
    numbers: list[int] = []
    for part in filter(None, listed.strip().split(",")):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def _positive(value: int | str, name: str) -> int:
    return at_least(name, int(value) if isinstance(value, str) and value.strip().isdecimal() else value, 1)
