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

from minilm_retrieval.errors import InvalidOptionError

ENVIRONMENT_VARIABLE = "MINILM_THREADS"

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_SELF_CGROUP = Path("/proc/self/cgroup")
_CPU_TOPOLOGY = Path("/sys/devices/system/cpu")


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


def _positive(value: int | str, name: str) -> int:
    number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if isinstance(value, str) and value.strip().isdecimal():
        number = int(value)
    if number < 1:
        raise InvalidOptionError(f"{name} must be a whole number of at least 1, got {value!r}")
    return number
