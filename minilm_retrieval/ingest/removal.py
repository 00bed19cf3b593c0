"""Take documents out of a collection by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from minilm_retrieval.ingest.loading.files import listed
from minilm_retrieval.ingest.report import IndexReport
from minilm_retrieval.ingest.stored import passages_of_others
from minilm_retrieval.ingest.writer import delete_documents
from minilm_retrieval.store.client import check_current
from minilm_retrieval.store.collection import checked_collection
from minilm_retrieval.store.writer_lock import writer_lock

if TYPE_CHECKING:
    from chromadb import Collection

_SEPARATORS = ("/", "\\", "#")


def remove_documents(collection: Collection, sources: Iterable[str]) -> IndexReport:
    """Remove documents that this library indexed, whether or not their files are still there.

    Args:
        collection: Where from.
        sources: Ids of documents; the path of a file stands for its records too, and that of a folder for all in it.

    Returns:
        The report, with ``deleted`` and ``passages_deleted``.

    Raises:
        InvalidOptionError: One text was given in place of several, or the collection is none.
        CollectionNotFoundError: The collection is no longer the one of its name.
        StoreLockedError: Another process is writing to the same local directory.
        StoreError: The store failed.
    """
    checked_collection(collection)
    wanted = listed("sources", sources)
    inside = tuple(f"{source.rstrip('/')}{separator}" for source in wanted for separator in _SEPARATORS)
    report = IndexReport()
    with writer_lock(collection._client, f"removing from the collection {collection.name!r}"):
        check_current(collection)
        found = passages_of_others(collection, set(), lambda source: source in wanted or source.startswith(inside))
        delete_documents(collection, found.values(), report)
    return report
