"""Collections as indexing leaves them, written passage by passage, and what is found wrong with them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stores import TOPICS

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.ingest.passage_ids import PassageId, source_digest, version_digest
from minilm_retrieval.maintenance import Fault, VerifyReport

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


def kinds(report: VerifyReport) -> list[str]:
    return [fault.kind for fault in report.faults]


def only_fault(report: VerifyReport) -> Fault:
    assert len(report.faults) == 1, report.faults
    assert not report.sound
    return report.faults[0]


def change_vector(collection: Any, id: str, change: Callable[[Any], Any]) -> None:
    stored = np.asarray(collection.get(ids=[id], include=["embeddings"])["embeddings"][0], dtype=np.float32)
    collection.update(ids=[id], embeddings=[change(stored).astype(np.float32)])


def copied(source: Path, target: Path, name: str = "docs") -> tuple[Path, str]:
    """Copy a database to where no client has it open; return the place and the folder of a collection's index."""
    shutil.copytree(source, target)
    with sqlite3.connect(target / "chroma.sqlite3") as database:
        query = "select s.id from segments s join collections c on s.collection = c.id where s.scope = 'VECTOR'"
        (segment,) = database.execute(f"{query} and c.name = ?", (name,)).fetchone()
    return target, segment
