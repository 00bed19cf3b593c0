"""Near-duplicates: all pairs of texts that are nearly the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minilm_retrieval.analysis.texts import EmbeddedTexts
from minilm_retrieval.errors import StoreError
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.similarity import pairs_above

# People judged pairs of STS Benchmark's test set: of those with at least this similarity, 91% say the same but for
# details (4 or 5 of 5 points); from 0.9 on it is 84%, from 0.85 on 73%, while 0.97 finds half as many.
DEFAULT_THRESHOLD = 0.95
_SETUP = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA cache_size = -65536",
    "CREATE TABLE pairs (left_row INTEGER, right_row INTEGER, score REAL)",
)
_BEST_FIRST = "SELECT * FROM pairs ORDER BY score DESC, left_row, right_row LIMIT ?"


class DuplicatePair(NamedTuple):
    """Two texts that are near-duplicates.

    Attributes:
        left: Row of the earlier text.
        right: Row of the later text.
        score: Their cosine similarity.
    """

    left: int
    right: int
    score: float


class Duplicates:
    """All near-duplicate pairs of some texts: best first, of equal scores those of earlier texts first.

    They are kept and sorted in a temporary file as soon as they are many, so that millions take no more memory than
    some. Its length is the number of pairs; it can be iterated over again and again, in the thread that made it.

    Attributes:
        texts_in_pairs: How many texts are in a pair at least.
    """

    def __init__(self, pairs: sqlite3.Connection, count: int, texts_in_pairs: int) -> None:
        self._pairs = pairs
        self._count = count
        self.texts_in_pairs = texts_in_pairs

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[DuplicatePair]:
        return self.best(self._count)

    def best(self, limit: int) -> Iterator[DuplicatePair]:
        """Give the pairs with the highest similarity, best first, up to so many."""
        with _temporary_file_errors():
            yield from map(DuplicatePair._make, self._pairs.execute(_BEST_FIRST, (limit,)))


def find_duplicates(
    texts: EmbeddedTexts, threshold: float = DEFAULT_THRESHOLD, *, show_progress: bool = False
) -> Duplicates:
    """Find all pairs of texts whose cosine similarity is at least the threshold; see :func:`pairs_above`.

    Identical texts are pairs too. Every text is compared with every other, block by block.

    Args:
        texts: Of a file or a collection.
        threshold: In [-1, 1].
        show_progress: Show a progress bar on standard error.

    Raises:
        InvalidOptionError: The threshold is out of range.
        StoreError: There is no room for the pairs in the directory for temporary files.
    """
    count = len(texts)
    paired = np.zeros(count, dtype=bool)
    found = 0
    # SQLite's name for a database in a file that only this connection knows, and that is gone with it.
    connection = sqlite3.connect("")
    with progress_bar("Comparing", count * (count - 1) // 2, show_progress, "pairs") as advance:
        blocks = pairs_above(texts.vectors, threshold, advance=advance)
        with _temporary_file_errors():
            for statement in _SETUP:
                connection.execute(statement)
            for left, right, scores in blocks:
                rows = zip(left.tolist(), right.tolist(), scores.tolist(), strict=True)
                connection.executemany("INSERT INTO pairs VALUES (?, ?, ?)", rows)
                paired[left] = paired[right] = True
                found += len(left)
    return Duplicates(connection, found, int(paired.sum()))


@contextmanager
def _temporary_file_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"The pairs cannot be kept in a temporary file: {error}. Give a higher threshold.") from error
