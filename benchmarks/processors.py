"""Which processors are measured on, and who else uses them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from minilm_retrieval.cpu import listed_numbers

_PROCESSOR_TIMES = Path("/proc/stat")
_CPU_TOPOLOGY = Path("/sys/devices/system/cpu")
_LOOK_SECONDS = 0.2
_IDLE_SHARE = 0.1


class Processors:
    """The processors that this process, and so every worker it starts, is pinned to.

    Args:
        count: How many. One of each physical core comes first, so that two threads do not share a core while another
            is idle. Where the system offers no pinning, none is done and nothing is known about others.
        patience: Seconds that may be spent, all in all, on waiting for others to leave the processors alone.

    Raises:
        ValueError: This process may not run on that many processors.
    """

    def __init__(self, count: int, patience: float) -> None:
        self.pinned = _pin(count)
        self._patience = patience
        self._start = _Reading(self.pinned)
        self._own_before = _own_seconds()
        self._waited = 0.0
        self._busy_while_waiting = 0.0

    def wait_until_idle(self) -> None:
        """Return when nobody uses the processors, workers that have just answered included, or patience has run out."""
        while True:
            before = _Reading(self.pinned)
            time.sleep(_LOOK_SECONDS)
            now = _Reading(self.pinned)
            busy, elapsed = now.busy - before.busy, now.time - before.time
            self._waited += elapsed
            self._busy_while_waiting += busy
            if busy <= _IDLE_SHARE * elapsed * len(self.pinned) or self._patience <= 0:
                return
            self._patience -= elapsed

    def others_share(self) -> float | None:
        """Return which share of the processors' time others took while this process did not wait for them.

        Others are programs, and on a virtual machine its neighbours. Ask when all workers have ended. ``None`` where
        the system does not tell.
        """
        now = _Reading(self.pinned)
        available = (now.time - self._start.time - self._waited) * len(self.pinned)
        if not now.busy or available <= 0:
            return None
        own = _own_seconds() - self._own_before
        return max(0.0, now.busy - self._start.busy - self._busy_while_waiting - own) / available


class _Reading:
    """The time, and the seconds that processors have not been idle, time stolen from a virtual machine included."""

    def __init__(self, processors: list[int]) -> None:
        self.time = time.monotonic()
        names = {f"cpu{processor}" for processor in processors}
        try:
            lines = [line.split() for line in _PROCESSOR_TIMES.read_text().splitlines()]
        except OSError:
            lines = []
        # The fields are user, nice, system, idle, iowait, irq, softirq, steal: proc(5).
        ticks = sum(sum(map(int, times[:3] + times[5:8])) for name, *times in lines if name in names)
        self.busy = ticks / os.sysconf("SC_CLK_TCK")


def _pin(count: int) -> list[int]:
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0), key=lambda processor: (_place_in_core(processor), processor))
    if count > len(allowed):
        raise ValueError(f"This process may run on {len(allowed)} processors; {count} threads need as many.")
    chosen = sorted(allowed[:count])
    os.sched_setaffinity(0, chosen)
    return chosen


def _place_in_core(processor: int) -> int:
    """Return 0 for the first hardware thread of a core, 1 for the second; 0 where the system does not tell."""
    try:
        siblings = (_CPU_TOPOLOGY / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text()
    except OSError:
        return 0
    return listed_numbers(siblings).index(processor)


def _own_seconds() -> float:
    """Return the processor time of this process and of the workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
