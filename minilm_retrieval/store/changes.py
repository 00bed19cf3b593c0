"""Changes to a store beside the work that leads to them: what is embedded is written while the next is embedded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

_MOST_WAITING = 8


class Changes:
    """Changes to a store, made one after the other in a thread of their own while the caller goes on.

    A few may wait while another is made, so memory stays bounded and the caller seldom has to wait. Leaving the context
    waits for all of them. After an error no further change is made; it is raised from the next call, or on leaving.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="minilm-store")
        self._running: deque[Future[None]] = deque()
        self._failed = False

    def submit(self, change: Callable[[], None]) -> None:
        """Have a change made."""
        while self._running and (len(self._running) > _MOST_WAITING or self._running[0].done()):
            self._running.popleft().result()
        self._running.append(self._executor.submit(self._make, change))

    def _make(self, change: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            change()
        except BaseException:
            self._failed = True
            raise

    def __enter__(self) -> Changes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True)
        if error is None:
            for change in self._running:
                change.result()
