"""What a collection holds, for comparing one with another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection

Snapshot = dict[str, tuple[str, dict[str, Any], Any]]


def snapshot(collection: Any) -> Snapshot:
    """Return the text, metadata and vector of every record by its id."""
    records: Snapshot = {}
    for offset in range(0, collection.count(), 1000):
        page = collection.get(limit=1000, offset=offset, include=["documents", "metadatas", "embeddings"])
        rows = zip(page["documents"], page["metadatas"], page["embeddings"], strict=True)
        records |= dict(zip(page["ids"], rows, strict=True))
    return records


def built_from_scratch(path: Path, documents: Iterable[Document], embedder: MiniLMEmbedder, **options: Any) -> Snapshot:
    """Index documents into a new collection and return what it holds."""
    collection = open_collection("docs", path=path, create=True, embedder=embedder)
    assert not index_documents(collection, documents, embedder, **options).failed
    return snapshot(collection)


def assert_equal(found: Snapshot, expected: Snapshot) -> None:
    """Compare ids, texts and metadata exactly, and vectors to 1e-5."""
    assert set(found) == set(expected), f"{len(set(found) ^ set(expected))} records differ"
    for id, (document, metadata, vector) in expected.items():
        assert found[id][:2] == (document, metadata)
        np.testing.assert_allclose(found[id][2], vector, atol=1e-5)
