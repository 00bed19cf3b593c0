"""Page through a collection that may be damaged, and tell damage from a store that cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import CollectionMismatchError, InvalidFilterError, StoreError
from minilm_retrieval.maintenance.faults import REEMBED, Examples, Fault
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import records

if TYPE_CHECKING:
    from chromadb import Collection

PAGE = 1000
_LOOKUPS = 10_000
STORE_FAILURES = (StoreError, CollectionMismatchError, InvalidFilterError)
"""What :func:`minilm_retrieval.store.client.store_errors` raises."""

Vectors = npt.NDArray[np.float32]
_NO_VECTORS: Vectors = np.zeros((0, 0), dtype=np.float32)
Record = tuple[str, "str | None", dict[str, Any]]


def record_pages(collection: Collection) -> Iterator[list[Record]]:
    """Yield ``(id, document, metadata)`` of all records, a page at a time; reads no vector.

    Raises:
        StoreError: A page cannot be read.
    """
    offset = 0
    while True:
        with store_errors("reading records"):
            page = collection.get(limit=PAGE, offset=offset, include=["documents", "metadatas"])
        found = list(records(page["ids"], page["documents"], page["metadatas"]))
        if found:
            yield found
        if len(found) < PAGE:
            return
        offset += PAGE


def require_reachable(collection: Collection) -> None:
    """Make sure that the store itself answers and holds the collection, so that a failure is the collection's own.

    Raises:
        StoreError: It does not.
    """
    with store_errors(f"looking up the collection {collection.name!r}"):
        collection._client.get_collection(collection.name, tenant=collection.tenant, database=collection.database)


@dataclass(frozen=True)
class VectorPage:
    """A page of vectors.

    Attributes:
        ids: The n records whose vectors could be read.
        vectors: Shape ``(n, dimension)``.
        unreadable: The records whose vectors could not.
    """

    ids: list[str]
    vectors: Vectors
    unreadable: list[str]


class VectorReader:
    """Reads vectors, and finds those that cannot be read by halving the lots that fail.

    Attributes:
        error: What the store said when reading failed, ``None`` if it did not.
    """

    def __init__(self, collection: Collection) -> None:
        self.error: str | None = None
        self._unreadable = Examples()
        self._exact = True
        self._collection = collection
        self._lookups = _LOOKUPS

    def pages(self) -> Iterator[VectorPage]:
        """Yield the vectors of all records."""
        offset = 0
        while True:
            try:
                page = self._page(limit=PAGE, offset=offset)
                size = len(page.ids) + len(page.unreadable)
            except STORE_FAILURES as error:
                self._note(error)
                with store_errors("reading ids"):
                    ids = self._collection.get(limit=PAGE, offset=offset, include=[])["ids"]
                page, size = _joined([*self._halves(ids)]), len(ids)
            for id in page.unreadable:
                self._unreadable.add(id)
            if size:
                yield page
            if size < PAGE:
                return
            offset += PAGE

    def usable(self, ids: list[str]) -> Vectors:
        """Return those vectors of at most a page of records that can be read, are finite and are not zero."""
        vectors = _joined([*self._lots(ids)]).vectors if ids else _NO_VECTORS
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        return np.asarray(vectors[np.isfinite(lengths) & (lengths > 0)])

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong, when all pages have been read."""
        if self._unreadable:
            number = f"{'' if self._exact else 'at most '}{self._unreadable.total}"
            message = (
                f"The index is damaged. Vectors that cannot be read from it: {number}. {self.error or ''}".rstrip()
            )
            yield Fault("index", message, REEMBED, **self._unreadable.fields())

    def _lots(self, ids: list[str]) -> Iterator[VectorPage]:
        try:
            yield self._page(ids=ids)
        except STORE_FAILURES as error:
            self._note(error)
            yield from self._halves(ids)

    def _halves(self, ids: list[str]) -> Iterator[VectorPage]:
        if len(ids) < 2 or self._lookups <= 0:
            # Where everything is lost, looking for each one would take hours.
            self._exact &= len(ids) < 2
            yield VectorPage([], _NO_VECTORS, ids)
            return
        self._lookups -= 2
        middle = len(ids) // 2
        yield from self._lots(ids[:middle])
        yield from self._lots(ids[middle:])

    def _page(self, **arguments: Any) -> VectorPage:
        with store_errors("reading vectors"):
            page = self._collection.get(include=["embeddings"], **arguments)
        rows = page["embeddings"] if page["embeddings"] is not None else [None] * len(page["ids"])
        found = [(id, row) for id, row in zip(page["ids"], rows, strict=True) if row is not None]
        unreadable = [id for id, row in zip(page["ids"], rows, strict=True) if row is None]
        return VectorPage([id for id, _ in found], np.asarray([row for _, row in found], dtype=np.float32), unreadable)

    def _note(self, error: Exception) -> None:
        require_reachable(self._collection)
        self.error = self.error or str(error)


def _joined(lots: list[VectorPage]) -> VectorPage:
    parts = [lot.vectors for lot in lots if lot.ids]
    vectors = np.concatenate(parts) if parts else _NO_VECTORS
    return VectorPage([id for lot in lots for id in lot.ids], vectors, [id for lot in lots for id in lot.unreadable])
