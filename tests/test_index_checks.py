"""verify_collection finds what is wrong with the approximate index."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from indexed import copied, indexed_collection, kinds, only_fault
from stores import fill, local_client, random_vectors

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.maintenance import verify_collection


@pytest.fixture
def indexed(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> tuple[Any, dict[str, list[str]]]:
    """Five documents of two passages each, with vectors that take no time."""
    return indexed_collection(tmp_path / "chroma", embedder)


def test_record_that_only_the_index_knows(tmp_path: Path, indexed: Any, embedder: MiniLMEmbedder) -> None:
    gone = indexed[1]["notes/e"]
    place, _ = copied(tmp_path / "chroma", tmp_path / "copy")
    with sqlite3.connect(place / "chroma.sqlite3") as database:
        database.execute("delete from embeddings where embedding_id in (?, ?)", gone)
    fault = only_fault(verify_collection(open_collection("docs", path=place), embedder))
    assert (fault.kind, set(fault.ids)) == ("index", set(gone))
    assert "no longer stored" in fault.message
    assert "minilm compact" in fault.remedy


def test_index_that_loses_neighbours(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    poor = {"space": "cosine", "ef_construction": 2, "ef_search": 1, "max_neighbors": 2}
    collection = local_client(tmp_path).create_collection("poor", embedding_function=None, configuration={"hnsw": poor})
    vectors = random_vectors(2000)
    collection.add(ids=[f"id-{number}" for number in range(2000)], embeddings=list(vectors))
    report = verify_collection(collection, embedder)
    assert report.recall is not None
    assert report.recall < 0.9
    assert "recall" in kinds(report)
    assert "self-hit" in kinds(report)
    assert report.recall_queries == 200
    assert all("minilm compact --collection poor`, which" in fault.remedy for fault in report.faults)


def test_index_cut_apart_by_equal_vectors(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    vectors = random_vectors(2000)
    vectors[::2] = vectors[0]
    report = verify_collection(fill(local_client(tmp_path), "equal", vectors), embedder)
    assert kinds(report)[0] == "index"
    assert "index does not reach" in report.faults[0].message
    assert all("sampled records have one and the same vector" in fault.remedy for fault in report.faults)


def test_every_record_of_a_large_collection_is_looked_up_in_the_index(
    tmp_path: Path, embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(local_client(tmp_path / "big"), "docs", random_vectors(6000, dimension=8))
    place, _ = copied(tmp_path / "big", tmp_path / "copy")
    with sqlite3.connect(place / "chroma.sqlite3") as database:
        database.execute("delete from embeddings where embedding_id = 'id-05500'")
    collection = open_collection("docs", path=place)
    index = [fault for fault in verify_collection(collection, embedder, sample=10).faults if fault.kind == "index"]
    assert [fault.ids for fault in index] == [("id-05500",)]
    monkeypatch.setattr("minilm_retrieval.maintenance.verify.COMPARED_BELOW", 5000)
    report = verify_collection(collection, embedder, sample=10)
    assert kinds(report) == ["dimension"]
    assert "compared up to" in report.skipped["index"]
