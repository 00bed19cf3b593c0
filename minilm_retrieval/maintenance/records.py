"""Whole records of a collection: read in pages, compared, and written as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import MiniLMError, StoreError
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.limits import in_lots, page_size
from minilm_retrieval.store.paging import read_pages

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api.types import GetResult

# Chroma keeps vectors of the space "cosine" as directions and lengths, which rounds them.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Record:
    """One record.

    Attributes:
        id: Its id.
        document: Its text, if it has one.
        metadata: Its metadata, ``None`` where there is none.
        uri: The address of what it stands for, if it has one.
        vector: Shape ``(dimension,)``, ``None`` where it was not read.
    """

    id: str
    document: str | None
    metadata: dict[str, Any] | None
    uri: str | None
    vector: FloatArray | None

    def equals(self, other: Record) -> bool:
        """Whether both hold the same, up to rounding of the vectors, which count only where both were read."""
        if (self.document, self.metadata, self.uri) != (other.document, other.metadata, other.uri):
            return False
        if self.vector is None or other.vector is None:
            return True
        if self.vector.shape != other.vector.shape:
            return False
        return bool(np.linalg.norm(self.vector - other.vector) <= _ROUNDING * np.linalg.norm(self.vector))


def read_records(collection: Collection, *, vectors: bool, **selection: Any) -> list[Record]:
    """Return the records that ``ids``, or ``limit`` and ``offset``, select: a page at most.

    Raises:
        StoreError: They cannot be read, or a vector is missing.
    """
    with store_errors(f"reading records of {collection.name!r}"):
        page = collection.get(include=_fields(vectors), **selection)
    return _records(collection, page, vectors)


def record_pages(collection: Collection, *, vectors: bool) -> Iterator[list[Record]]:
    """Yield all records, a page at a time.

    Raises:
        StoreError: A page cannot be read, or a vector is missing.
    """
    for page in read_pages(collection, include=_fields(vectors)):
        yield _records(collection, page, vectors)


def differing(
    collection: Collection, page: Sequence[Record], *, vectors: bool
) -> tuple[list[Record], dict[str, Record]]:
    """Compare a page of records with what a collection holds under their ids.

    Returns:
        The records that it lacks or holds with other content, and what it holds of the latter, by id.

    Raises:
        StoreError: The records cannot be read, or a vector is missing.
    """
    lots = in_lots(collection._client, [record.id for record in page])
    held = {record.id: record for ids in lots for record in read_records(collection, vectors=vectors, ids=list(ids))}
    wanted = [record for record in page if record.id not in held or not record.equals(held[record.id])]
    return wanted, {record.id: held[record.id] for record in wanted if record.id in held}


def write_records(
    collection: Collection, records: Sequence[Record], vectors: Sequence[FloatArray], held: Mapping[str, Record]
) -> None:
    """Write records with these vectors, in lots that the store takes.

    Chroma merges what it holds and what it gets. Metadata that a record no longer has is removed by writing ``None``; a
    text or address cannot be, so a record that loses one is deleted first, and put back if it cannot be written.

    Args:
        collection: Where to.
        records: What to write.
        vectors: One a record.
        held: What the collection holds under their ids; put back only if its vectors were read.

    Raises:
        StoreError: They cannot be written.
    """
    limit = page_size(collection._client)
    for start in range(0, len(records), limit):
        lot = records[start : start + limit]
        losing = [old for record in lot if (old := held.get(record.id)) is not None and _loses_field(record, old)]
        if losing:
            with store_errors("removing records that have changed"):
                collection.delete(ids=[old.id for old in losing])
        try:
            _upsert(collection, lot, vectors[start : start + limit], held)
        except BaseException:
            back = [(old, old.vector) for old in losing if old.vector is not None]
            if back:
                with suppress(MiniLMError):
                    _upsert(collection, [old for old, _ in back], [vector for _, vector in back], {})
            raise


def _loses_field(record: Record, old: Record) -> bool:
    return (record.document is None and old.document is not None) or (record.uri is None and old.uri is not None)


def _upsert(
    collection: Collection, records: Sequence[Record], vectors: Sequence[FloatArray], held: Mapping[str, Record]
) -> None:
    documents: Any = [record.document for record in records]
    metadatas: Any = [_with_vanished(record, held.get(record.id)) for record in records]
    uris: Any = [record.uri for record in records]
    rows: Any = list(vectors)
    with store_errors(f"writing {len(records)} records"):
        collection.upsert(
            ids=[record.id for record in records],
            embeddings=rows,
            documents=documents if any(text is not None for text in documents) else None,
            metadatas=metadatas if any(metadatas) else None,
            uris=uris if any(uris) else None,
        )


def _with_vanished(record: Record, old: Record | None) -> dict[str, Any] | None:
    vanished = dict.fromkeys((old and old.metadata) or ())
    return {**vanished, **(record.metadata or {})} or None


def _fields(vectors: bool) -> list[Any]:
    return ["documents", "metadatas", "uris", *(["embeddings"] if vectors else [])]


def _records(collection: Collection, page: GetResult, vectors: bool) -> list[Record]:
    nothing: list[Any] = [None] * len(page["ids"])
    rows: Any = nothing
    if vectors and page["ids"]:
        embeddings = page["embeddings"]
        if embeddings is None or len(embeddings) != len(page["ids"]) or any(row is None for row in embeddings):
            raise StoreError(f"Chroma gave no vector for some records of {collection.name!r}; its index is damaged.")
        rows = np.asarray(embeddings, dtype=np.float32)
    columns = (page["ids"], page["documents"] or nothing, page["metadatas"] or nothing, page["uris"] or nothing, rows)
    return [
        Record(id, document, dict(metadata) if metadata else None, uri, row)
        for id, document, metadata, uri, row in zip(*columns, strict=True)
    ]
