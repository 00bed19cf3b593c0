"""Collections as indexing leaves them, written passage by passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stores import TOPICS

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.ingest.passage_ids import PassageId, source_digest, version_digest

SOURCES = {f"notes/{name}": TOPICS[2 * row : 2 * row + 2] for row, name in enumerate("abcde")}


def write_passages(
    collection: Any, source: str, texts: Sequence[str], embedder: MiniLMEmbedder, version: str = "first"
) -> list[str]:
    """Store a document's passages with their vectors, and return their ids."""
    ids = [
        str(PassageId(source_digest(source), version_digest(version), number, len(texts)))
        for number in range(len(texts))
    ]
    places, start = [], 0
    for text in texts:
        places.append({"source": source, "start": start, "end": start + len(text)})
        start += len(text)
    collection.upsert(ids=ids, embeddings=list(embedder.encode(list(texts))), documents=list(texts), metadatas=places)
    return ids


def indexed_collection(
    path: Path,
    embedder: MiniLMEmbedder,
    sources: Mapping[str, Sequence[str]] = SOURCES,
    *,
    name: str = "docs",
    space: str = "cosine",
) -> tuple[Any, dict[str, list[str]]]:
    """Make a collection of these documents; return it and the ids of each document's passages."""
    collection = open_collection(name, path=path, create=True, embedder=embedder, space=space)
    return collection, {
        source: write_passages(collection, source, texts, embedder) for source, texts in sources.items()
    }
