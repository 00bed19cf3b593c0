"""A tree of real files, indexed again and again: after each change the collection equals one made afresh."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snapshots import assert_equal, built_from_scratch, snapshot
from source_tree import write_tree

from minilm_retrieval import MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.ingest import load_documents

FILES = int(os.environ.get("MINILM_SOAK_FILES", "40"))
PATTERNS = ["*.py", "*.rst", "*.txt"]


@pytest.fixture
def embedded(embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that have been embedded."""
    texts: list[str] = []
    encode_stream = embedder.encode_stream

    def noting(stream: Any) -> Iterator[Any]:
        return encode_stream(texts.append(text) or text for text in stream)

    monkeypatch.setattr(embedder, "encode_stream", noting)
    return texts


def test_second_run_edits_and_deletions(embedder: MiniLMEmbedder, embedded: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    files = write_tree(folder, FILES)
    if "MINILM_SOAK_FILES" not in os.environ:
        for file in files:
            file.write_text(file.read_text(encoding="utf-8")[:1500], encoding="utf-8")
    collection = open_collection("docs", path=tmp_path / "store", create=True, embedder=embedder)

    def run(**options: Any) -> Any:
        embedded.clear()
        report = index_documents(collection, load_documents([folder], include=PATTERNS), embedder, **options)
        assert (report.failed, report.skipped) == ([], [])
        return report

    def compare(name: str) -> None:
        documents = load_documents([folder], include=PATTERNS)
        assert_equal(snapshot(collection), built_from_scratch(tmp_path / name, documents, embedder))

    first = run()
    assert first.added + first.empty == FILES
    assert len(embedded) == first.passages_written == collection.count()

    second = run()
    assert second.unchanged + second.empty == FILES
    assert (embedded, second.passages_written, second.passages_deleted) == ([], 0, 0)

    chosen = random.Random(1).sample(files, 2 * max(1, FILES // 100))
    edited, deleted = chosen[::2], chosen[1::2]
    for number, file in enumerate(edited):
        file.write_text(f"{file.read_text(encoding='utf-8')}\nEdited, number {number}.\n", encoding="utf-8")
    third = run()
    assert (third.updated + third.added, third.deleted) == (len(edited), 0)
    assert 0 < len(embedded) <= third.passages_written
    assert all(any(text in file.read_text(encoding="utf-8") for file in edited) for text in embedded)
    compare("edited")

    for file in deleted:
        file.unlink()
    before = collection.count()
    fourth = run(prune=True)
    assert fourth.deleted == len(deleted)
    assert fourth.passages_deleted == before - collection.count()
    assert embedded == []
    compare("deleted")
