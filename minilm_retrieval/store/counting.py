"""How many records a collection has, asked for no more often than needed: Chroma goes through all of them to count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from minilm_retrieval.store.client import store_errors

if TYPE_CHECKING:
    from chromadb import Collection

# More than a Chroma server deletes on any machine that we know, by an order of magnitude.
_MOST_DELETED_A_SECOND = 100_000


class RecordCount:
    """Tells a small collection from a larger one; may be used by many threads at once.

    Args:
        collection: Whose records.
        small: So many records at most are a small collection.
    """

    def __init__(self, collection: Collection, small: int) -> None:
        self._collection = collection
        self._small = small
        self._known = 0
        self._until = float("-inf")

    def get(self, wanted: int) -> int:
        """Return how many records there are: exactly for a small collection, else as they were lately counted.

        A larger one is counted anew as soon as it could have become small by deletions.

        Args:
            wanted: How many are asked for; where no more were known, they are counted anew too.

        Raises:
            StoreError: The store failed.
        """
        if wanted >= self._known or time.monotonic() >= self._until:
            began = time.monotonic()
            with store_errors("counting records"):
                self._known = self._collection.count()
            self._until = began + (self._known - self._small) / _MOST_DELETED_A_SECOND
        return self._known
