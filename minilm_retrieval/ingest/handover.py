"""A bounded queue from one thread to another that either end can close, so that neither waits for a dead one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """Hands items from a thread that puts to a thread that iterates.

    Args:
        size: How many items may wait.

    Attributes:
        waited: Seconds that the iterating thread spent waiting for items.
    """

    def __init__(self, size: int) -> None:
        self.waited = 0.0
        self._size = size
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._cancelled = False

    def put(self, item: T) -> bool:
        """Hand over an item, waiting while too many wait; return whether anybody still takes them."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._size or self._cancelled)
            if not self._cancelled:
                self._items.append(item)
                self._changed.notify_all()
            return not self._cancelled

    def finish(self) -> None:
        """Say that no item follows; those that wait are still taken."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Drop what waits, and take nothing more; may be called from either end."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                started = time.perf_counter()
                self._changed.wait_for(lambda: self._items or self._finished or self._cancelled)
                self.waited += time.perf_counter() - started
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
