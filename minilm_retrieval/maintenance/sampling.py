"""Which records of a collection are looked at closely, decided by a seed."""

from __future__ import annotations

import numpy as np

_RECALL_QUERIES = 200


class Sample:
    """Chooses records by their place among all, and learns their ids as the collection is read.

    Args:
        count: How many records there are.
        size: How many to choose, without repetition; ``None`` for all.
        seed: Decides which.

    Attributes:
        queries: Ids of the records chosen that recall is measured with, 200 at most.
    """

    def __init__(self, count: int, size: int | None, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._all = size is None or size >= count
        self._positions = np.arange(count) if self._all else np.sort(random.choice(count, size, replace=False))
        few = min(_RECALL_QUERIES, len(self._positions))
        self._asked = np.sort(random.choice(self._positions, few, replace=False)) if few else self._positions
        self._ids: set[str] = set()
        self._read = 0
        self.queries: list[str] = []

    def read(self, ids: list[str]) -> None:
        """Take the ids of the next page."""
        if not self._all:
            self._ids.update(self._of_page(self._positions, ids))
        self.queries.extend(self._of_page(self._asked, ids))
        self._read += len(ids)

    def __contains__(self, id: str) -> bool:
        return self._all or id in self._ids

    def _of_page(self, positions: np.typing.NDArray[np.int64], ids: list[str]) -> list[str]:
        first, last = np.searchsorted(positions, [self._read, self._read + len(ids)])
        return [ids[position - self._read] for position in positions[first:last]]
