"""What a collection holds of documents, read from the passages' ids: there is no other record of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.ingest.passage_ids import PassageId
from minilm_retrieval.similarity import is_unit
from minilm_retrieval.store.client import store_errors

if TYPE_CHECKING:
    from chromadb import Collection

_READ_BATCH = 1000
_READING = "reading what is indexed already"


def stored_passages(collection: Collection, sources: Sequence[str]) -> dict[str, set[str]]:
    """Return the ids of the passages that this library stored for documents, by the source digest in them.

    Args:
        collection: Where to look.
        sources: The documents' ids.
    """
    found: dict[str, set[str]] = {}
    where: Any = {"source": {"$in": list(sources)}}
    for page in _pages(collection, where=where, include=[]):
        for id in page["ids"]:
            passage = PassageId.parse(id)
            if passage is not None:
                found.setdefault(passage.source, set()).add(id)
    return found


def is_whole(ids: set[str], version: str) -> bool:
    """Return whether these are all the passages of this version of a document, and no others."""
    parsed = [PassageId.parse(id) for id in ids]
    return bool(parsed) and all(
        passage is not None and passage.version == version and passage.count == len(parsed) for passage in parsed
    )


def stored_vectors(collection: Collection, ids: Iterable[str]) -> dict[str, FloatArray]:
    """Return the vectors of passages by their texts; a damaged one is left out."""
    vectors: dict[str, FloatArray] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), _READ_BATCH):
        with store_errors(_READING):
            page = collection.get(ids=wanted[start : start + _READ_BATCH], include=["documents", "embeddings"])
        rows = np.asarray(page["embeddings"], dtype=np.float32)
        for text, row in zip(page["documents"] or [], rows, strict=False):
            if text is not None and is_unit(row[None, :]).all():
                vectors[text] = row
    return vectors


def sources_other_than(
    collection: Collection, known: set[bytes], within: Sequence[str] | None, kept: Sequence[str]
) -> dict[str, list[str]]:
    """Find the documents, indexed by this library, that are not among those known.

    Args:
        collection: Where to look.
        known: Source digests that count as known, as bytes.
        within: Folders and files that count; ``None`` for all documents.
        kept: Sources to leave alone, with all that is in them.

    Returns:
        The ids of passages by the digest of their source.
    """
    unknown: list[str] = []
    for page in _pages(collection, include=[]):
        for id in page["ids"]:
            passage = PassageId.parse(id)
            if passage is not None and bytes.fromhex(passage.source) not in known:
                unknown.append(id)
    found: dict[str, list[str]] = {}
    for start in range(0, len(unknown), _READ_BATCH):
        with store_errors(_READING):
            page = collection.get(ids=unknown[start : start + _READ_BATCH], include=["metadatas"])
        for id, metadata in zip(page["ids"], page["metadatas"] or [], strict=True):
            source = str((metadata or {}).get("source", ""))
            passage = PassageId.parse(id)
            if passage is None or is_inside(source, kept) or (within is not None and not is_inside(source, within)):
                continue
            found.setdefault(passage.source, []).append(id)
    return found


def is_inside(source: str, places: Sequence[str]) -> bool:
    """Return whether a document's id is one of these, a record of one, or a file in one of these folders."""
    for place in places:
        bare = place.rstrip("/\\")
        if source == place or source.startswith((f"{bare}#", f"{bare}/", f"{bare}\\")):
            return True
    return False


def _pages(collection: Collection, **arguments: Any) -> Iterator[Any]:
    offset = 0
    while True:
        with store_errors(_READING):
            page = collection.get(limit=_READ_BATCH, offset=offset, **arguments)
        yield page
        if len(page["ids"]) < _READ_BATCH:
            return
        offset += _READ_BATCH
