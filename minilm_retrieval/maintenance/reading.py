"""Read a collection that may be damaged, and tell damage from a store that cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import CollectionMismatchError, InvalidFilterError, StoreError, StoreUnavailableError
from minilm_retrieval.maintenance.faults import REEMBED, Examples, Fault
from minilm_retrieval.maintenance.records import Record
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import records
from minilm_retrieval.store.limits import page_size

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.types import Collection as CollectionModel

_LOOKUPS = 10_000
_FIELDS = ["documents", "metadatas"]
STORE_FAILURES = (StoreError, CollectionMismatchError, InvalidFilterError)
"""What :func:`minilm_retrieval.store.client.store_errors` raises."""

T = TypeVar("T")


class DamageError(StoreError):
    """The store answers, and cannot read what it holds of a collection."""


def attempt(collection: Collection, action: str, read: Callable[[], T]) -> T:
    """Read something of a collection, and once more if that fails, so that a passing trouble is not taken for damage.

    Raises:
        DamageError: Chroma failed twice, and still holds the collection.
        StoreError: The store cannot be reached, or no longer has the collection.
    """
    from chromadb.errors import ChromaError

    try:
        with store_errors(action):
            return read()
    except StoreUnavailableError:
        # Its limits of time are spent.
        raise
    except STORE_FAILURES:
        pass
    try:
        with store_errors(action):
            return read()
    except STORE_FAILURES as error:
        # Timeouts and the answers of a proxy are no errors of Chroma's own.
        if error.__cause__ is not None and not isinstance(error.__cause__, ChromaError):
            raise StoreError(str(error)) from error
        look_up(collection)
        raise DamageError(str(error)) from error


def look_up(collection: Collection) -> CollectionModel:
    """Return what the store says of a collection now.

    Raises:
        StoreError: The store does not answer, or no longer holds the collection.
    """
    with store_errors(f"looking up the collection {collection.name!r}"):
        return collection._client.get_collection(
            collection.name, tenant=collection.tenant, database=collection.database
        )


def has_direction(record: Record) -> bool:
    """Tell whether a record's vector was read, is finite and is not zero."""
    return record.vector is not None and 0 < float(np.linalg.norm(record.vector.astype(np.float64))) < np.inf


def stacked(records: Iterable[Record]) -> FloatArray:
    """Return the vectors of those records that have one, shape ``(n, dimension)``."""
    vectors = [record.vector for record in records if record.vector is not None]
    return np.stack(vectors) if vectors else np.zeros((0, 0), dtype=np.float32)


class CollectionReader:
    """Reads all records, and finds the vectors that cannot be read by halving the lots that fail.

    Args:
        collection: What to read.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._unreadable = Examples()
        self._error = ""
        self._exact = True
        self._lookups = _LOOKUPS

    def pages(self) -> Iterator[list[Record]]:
        """Yield all records, a page at a time; those whose vectors cannot be read come without.

        Raises:
            DamageError: Texts and metadata cannot be read.
            StoreError: The store cannot be reached.
        """
        size = page_size(self._collection._client)
        for offset in count(0, size):
            page = self._page(offset, size)
            if page:
                yield page
            if len(page) < size:
                return

    def vectors_at(self, places: Iterable[int]) -> FloatArray:
        """Return those vectors of the records at these places that have a direction, shape ``(n, dimension)``."""
        found: list[Record] = []
        for place in places:
            with suppress(DamageError):
                found += self._read(["embeddings"], limit=1, offset=int(place))
        return stacked(filter(has_direction, found))

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong, when all pages have been read."""
        if self._unreadable:
            number = f"{'' if self._exact else 'at most '}{self._unreadable.total}"
            message = f"The index is damaged. Vectors that cannot be read from it: {number}. {self._error}".rstrip()
            yield Fault("index", message, REEMBED, **self._unreadable.fields())

    def _page(self, offset: int, size: int) -> list[Record]:
        try:
            page = self._read([*_FIELDS, "embeddings"], limit=size, offset=offset)
        except DamageError:
            page = self._read(_FIELDS, limit=size, offset=offset)
            vectors = self._vectors([record.id for record in page]) if page else {}
            page = [replace(record, vector=vectors.get(record.id)) for record in page]
        for record in page:
            if record.vector is None:
                self._unreadable.add(record.id)
        return page

    def _vectors(self, ids: list[str]) -> dict[str, FloatArray | None]:
        try:
            return {record.id: record.vector for record in self._read(["embeddings"], ids=ids)}
        except DamageError as error:
            self._error = self._error or str(error)
        if len(ids) > 1 and self._lookups > 0:
            self._lookups -= 2
            middle = len(ids) // 2
            return self._vectors(ids[:middle]) | self._vectors(ids[middle:])
        # Where everything is lost, looking for each one would take hours.
        self._exact &= len(ids) == 1
        return {}

    def _read(self, fields: list[Any], **selection: Any) -> list[Record]:
        page = attempt(self._collection, "reading records", lambda: self._collection.get(include=fields, **selection))
        rows: Any = page["embeddings"] if page["embeddings"] is not None else [None] * len(page["ids"])
        return [
            Record(id, document, metadata, None, None if row is None else np.asarray(row, dtype=np.float32))
            for (id, document, metadata), row in zip(
                records(page["ids"], page["documents"], page["metadatas"]), rows, strict=True
            )
        ]
