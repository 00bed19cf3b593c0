"""Whole records of a collection: read in pages, compared, and written as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import StoreError
from minilm_retrieval.store.client import store_errors

if TYPE_CHECKING:
    from chromadb import Collection

PAGE = 1000
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
    include: list[Any] = ["documents", "metadatas", "uris", *(["embeddings"] if vectors else [])]
    with store_errors(f"reading records of {collection.name!r}"):
        page = collection.get(include=include, **selection)
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


def record_pages(collection: Collection, *, vectors: bool) -> Iterator[list[Record]]:
    """Yield all records, a page at a time.

    Raises:
        StoreError: A page cannot be read.
    """
    offset = 0
    while True:
        page = read_records(collection, vectors=vectors, limit=PAGE, offset=offset)
        if page:
            yield page
        if len(page) < PAGE:
            return
        offset += PAGE


def lacking(collection: Collection, page: Sequence[Record], *, vectors: bool) -> tuple[list[Record], list[str]]:
    """Compare a page of records with what a collection holds under their ids.

    Returns:
        The records that it lacks or holds with other content, and the ids of the latter.
    """
    held = {
        record.id: record for record in read_records(collection, vectors=vectors, ids=[record.id for record in page])
    }
    wanted = [record for record in page if record.id not in held or not record.equals(held[record.id])]
    return wanted, [record.id for record in wanted if record.id in held]


def write_records(
    collection: Collection, records: Sequence[Record], vectors: Sequence[FloatArray], replaced: Sequence[str] = ()
) -> None:
    """Write records with these vectors, in lots that the store takes.

    Args:
        collection: Where to.
        records: What to write.
        vectors: One a record.
        replaced: Ids among them that are there with other content. Chroma would merge old and new metadata, so they
            are deleted first.
    """
    limit = collection._client.get_max_batch_size()
    for start in range(0, len(replaced), PAGE):
        with store_errors("removing records that have changed"):
            collection.delete(ids=list(replaced[start : start + PAGE]))
    for start in range(0, len(records), limit):
        lot = records[start : start + limit]
        documents: Any = [record.document for record in lot]
        metadatas: Any = [record.metadata for record in lot]
        uris: Any = [record.uri for record in lot]
        rows: Any = list(vectors[start : start + limit])
        with store_errors(f"writing {len(lot)} records"):
            collection.upsert(
                ids=[record.id for record in lot],
                embeddings=rows,
                documents=documents if any(text is not None for text in documents) else None,
                metadatas=metadatas if any(metadatas) else None,
                uris=uris if any(uris) else None,
            )
