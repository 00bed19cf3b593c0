"""Read a store whose index in memory may be older than its database, because another process has written to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from minilm_retrieval.store.client import StaleIndexError, store_errors
from minilm_retrieval.store.local import changes_of, forget_stale_indexes

if TYPE_CHECKING:
    from chromadb import Collection

# In place of the ids of records that the index lacks, which Chroma does not tell; no record has an empty one.
_UNKNOWN = frozenset({""})
# Seconds before each try: a deletion that has begun takes less until the index knows of it.
_PAUSES = (0.0, 0.01, 0.03, 0.1)
# Looking for the newest record may take this part of the time.
_SHARE = 0.05
T = TypeVar("T")


def read_freshly(client: Any, work: Callable[[], tuple[T, frozenset[str]]]) -> T:
    """Return what reading gives, once more where it meets records that have been deleted meanwhile.

    Where it meets the same ones again and again, it is the index that is old, and a local one is read anew. Not before,
    since that is no good moment for threads of this process that write.

    Args:
        client: Whose store.
        work: Reads; returns with the result the ids that the index has and the database has not.

    Raises:
        StaleIndexError: The index lacks records, even when it is read anew.
    """
    always: frozenset[str] | None = None
    for pause in _PAUSES:
        time.sleep(pause)
        try:
            result, missing = work()
        except StaleIndexError:
            missing = _UNKNOWN
        else:
            if not missing:
                return result
        always = missing if always is None else always & missing
        if not always:
            break
    else:
        with store_errors("reading the index anew"):
            forget_stale_indexes(client)
    return work()[0]


class NewestRecord:
    """Makes sure that a local index has what was added last, which a search would otherwise miss in silence.

    Args:
        collection: Whose index.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._looked: bytes | None = None
        self._not_before = float("-inf")

    def check(self) -> None:
        """Look whether the index has the newest record, if the directory has changed since that was looked at.

        Raises:
            StaleIndexError: It has not.
        """
        began = time.monotonic()
        changes = changes_of(self._collection._client)
        if changes == self._looked or began < self._not_before:
            return
        with store_errors("reading the newest record"):
            newest = max(0, self._collection.count() - 1)
            self._collection.get(limit=1, offset=newest, include=["embeddings"])
        self._looked = changes
        # Chroma goes through all records for that, which is too slow for each search between writes of one's own.
        self._not_before = began + (time.monotonic() - began) / _SHARE
