"""What a collection holds of documents, read from the passages' ids: there is no other record of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.ingest.passage_ids import PassageId
from minilm_retrieval.similarity import is_unit
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.limits import in_lots
from minilm_retrieval.store.paging import read_pages

if TYPE_CHECKING:
    from chromadb import Collection

_READING = "reading what is indexed already"


def stored_passages(collection: Collection, sources: Sequence[str]) -> dict[str, set[str]]:
    """Return the ids of the passages that this library stored for documents, by the source digest in them.

    Args:
        collection: Where to look.
        sources: The documents' ids.
    """
    found: dict[str, set[str]] = {}
    where: Any = {"source": {"$in": list(sources)}}
    for page in read_pages(collection, where=where, include=[]):
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
    for lot in in_lots(collection._client, wanted):
        with store_errors(_READING):
            page = collection.get(ids=list(lot), include=["documents", "embeddings"])
        rows = np.asarray(page["embeddings"], dtype=np.float32)
        for text, row in zip(page["documents"] or [], rows, strict=False):
            if text is not None and is_unit(row[None, :]).all():
                vectors[text] = row
    return vectors


def passages_of_others(
    collection: Collection, given: set[bytes], is_gone: Callable[[str], bool]
) -> dict[str, list[str]]:
    """Find the documents, indexed by this library, that were not given and are gone.

    Args:
        collection: Where to look.
        given: Source digests of the documents that were given, as bytes.
        is_gone: Says of a document's id whether it is; asked once for each of the others.

    Returns:
        The ids of passages by the digest of their source.
    """
    found: dict[str, list[str]] = {}
    kept: set[str] = set()
    for page in read_pages(collection, include=[]):
        others: dict[str, str] = {}
        for id in page["ids"]:
            passage = PassageId.parse(id)
            if passage is not None and passage.source not in kept and bytes.fromhex(passage.source) not in given:
                others[id] = passage.source
        for id, source in _sources(collection, [id for id, digest in others.items() if digest not in found]).items():
            if is_gone(source):
                found.setdefault(others[id], [])
            else:
                kept.add(others[id])
        for id, digest in others.items():
            if digest in found:
                found[digest].append(id)
    return found


def _sources(collection: Collection, ids: list[str]) -> dict[str, str]:
    if not ids:
        return {}
    with store_errors(_READING):
        page = collection.get(ids=ids, include=["metadatas"])
    sources = (str((metadata or {}).get("source", "")) for metadata in page["metadatas"] or [])
    return dict(zip(page["ids"], sources, strict=True))
