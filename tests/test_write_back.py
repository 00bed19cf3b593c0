"""Clusters as metadata: the rest of each record stays, earlier clusters go, and an interrupted run can be completed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from soak import needs_soak
from stores import fill, local_client, random_vectors
from subprocesses import clean_environment

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.analysis import Clustering, WriteBackReport, cluster_texts, texts_of_collection, write_clusters
from minilm_retrieval.analysis.write_back import check_field, check_not_taken
from minilm_retrieval.errors import InvalidOptionError, StoreError, StoreLockedError
from minilm_retrieval.maintenance import verify_collection
from minilm_retrieval.store.writer_lock import writer_lock

# Groups of 6 and 5 texts, and 3 that are near no other.
SIZES = (6, 5, 1, 1, 1)
KEPT = [{"lang": "en", "page": 1}, {"lang": "de", "tags": ["a", "b"]}]


def filled(path: Path, metadatas: Any = None, groups: int = 1) -> Any:
    about = np.tile(np.repeat(range(len(SIZES)), SIZES), groups)
    documents = [f"about {('tea', 'rain', 'stars', 'bread', 'horses')[number]}" for number in about]
    vectors = random_vectors(len(SIZES))[about]
    return fill(local_client(path), "docs", vectors, documents=documents, metadatas=metadatas)


def clustered(collection: Any, **options: Any) -> tuple[Any, Clustering]:
    texts = texts_of_collection(collection)
    return texts, cluster_texts(texts, "communities", **options)


def held(collection: Any) -> list[Any]:
    found = collection.get(include=["metadatas"])
    return [metadata for _, metadata in sorted(zip(found["ids"], found["metadatas"], strict=True))]


def test_the_fields_are_written_and_all_else_stays(tmp_path: Path) -> None:
    collection = filled(tmp_path, [KEPT[row % 2] for row in range(sum(SIZES))])
    before = collection.get(include=["documents", "embeddings"])
    report = write_clusters(collection, *clustered(collection))
    assert report == WriteBackReport("cluster", "cluster_name", 11, 0, 3)
    clusters = [{"cluster": 0, "cluster_name": "tea"}] * 6 + [{"cluster": 1, "cluster_name": "rain"}] * 5 + [{}] * 3
    assert held(collection) == [KEPT[row % 2] | clusters[row] for row in range(sum(SIZES))]
    after = collection.get(include=["documents", "embeddings"])
    assert after["documents"] == before["documents"]
    assert (after["embeddings"] == before["embeddings"]).all()
    assert collection.get(where={"cluster_name": "rain"})["ids"] == [f"id-{row:05}" for row in range(6, 11)]


def test_records_without_metadata(tmp_path: Path) -> None:
    collection = filled(tmp_path)
    write_clusters(collection, *clustered(collection), field="topic")
    assert held(collection)[0] == {"topic": 0, "topic_name": "tea"}
    write_clusters(collection, *clustered(collection, min_size=50), field="topic")
    assert not any(held(collection))


def test_the_clusters_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    collection = filled(tmp_path, [{"page": row} for row in range(sum(SIZES))])
    write_clusters(collection, *clustered(collection))
    assert write_clusters(collection, *clustered(collection)).unchanged == sum(SIZES)
    report = write_clusters(collection, *clustered(collection, min_size=6))
    assert report == WriteBackReport("cluster", "cluster_name", 0, 5, 9)
    assert [metadata.get("cluster_name") for metadata in held(collection)] == ["tea"] * 6 + [None] * 8
    texts = texts_of_collection(collection, where={"page": {"$gte": 6}})
    report = write_clusters(collection, texts, cluster_texts(texts, "communities"))
    assert report == WriteBackReport("cluster", "cluster_name", 5, 6, 3)
    assert [metadata.get("cluster") for metadata in held(collection)] == [None] * 6 + [0] * 5 + [None] * 3
    assert [metadata["page"] for metadata in held(collection)] == list(range(sum(SIZES)))


@pytest.mark.parametrize("metadata", [{"cluster": "mine"}, {"cluster_name": "mine"}, {"cluster": 1}, {"cluster": True}])
def test_the_fields_of_others_are_not_overwritten(tmp_path: Path, metadata: Any) -> None:
    collection = filled(tmp_path, [{"page": 1}] * (sum(SIZES) - 1) + [metadata])
    texts, clustering = clustered(collection)
    for check in (lambda: check_not_taken(texts, "cluster"), lambda: write_clusters(collection, texts, clustering)):
        with pytest.raises(InvalidOptionError, match=r"'id-00013' holds .* choose another field than 'cluster'"):
            check()
    assert held(collection) == [{"page": 1}] * (sum(SIZES) - 1) + [metadata]
    check_not_taken(texts, "topic")


@pytest.mark.parametrize("field", ["", "source", "start", "$where", "#document", "chroma:document", "\ud800"])
def test_fields_that_cannot_be_written(field: str) -> None:
    with pytest.raises(InvalidOptionError, match="cannot be written to the field"):
        check_field(field)


def test_another_writer_is_not_disturbed(tmp_path: Path) -> None:
    collection = filled(tmp_path)
    found = clustered(collection)
    with writer_lock(collection._client, "something else"), pytest.raises(StoreLockedError):
        write_clusters(collection, *found)
    assert not any(held(collection))


def test_a_failure_is_completed_by_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.store.limits.PAGE", 4)
    collection = filled(tmp_path)
    found = clustered(collection)
    update, calls = type(collection).update, []

    def fails_later(self: Any, **arguments: Any) -> None:
        calls.append(len(arguments["ids"]))
        if len(calls) == 3:
            raise OSError("disk full")
        update(self, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(type(collection), "update", fails_later)
        with pytest.raises((StoreError, OSError), match="disk full"):
            write_clusters(collection, *found)
    assert calls == [4, 4, 3]
    assert sum(metadata is not None for metadata in held(collection)) == 8
    assert write_clusters(collection, *found) == WriteBackReport("cluster", "cluster_name", 3, 0, 11)


@needs_soak
def test_killed_in_the_middle(tmp_path: Path) -> None:
    count = 100 * sum(SIZES)
    collection = filled(tmp_path, [{"page": row} for row in range(count)], groups=100)
    script = """
        import sys
        from minilm_retrieval import open_collection
        from minilm_retrieval.analysis import cluster_texts, texts_of_collection, write_clusters
        from minilm_retrieval.store import limits
        limits.PAGE = 50
        collection = open_collection("docs", path=sys.argv[1])
        texts = texts_of_collection(collection)
        found = cluster_texts(texts, clusters=5)
        print("writing", flush=True)
        write_clusters(collection, texts, found)
        """
    command = [sys.executable, "-c", dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment({})) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        deadline = time.monotonic() + 30
        while not collection.get(where={"cluster": {"$gte": 0}}, limit=1)["ids"] and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.wait()
    texts = texts_of_collection(collection)
    some = [metadata for metadata in held(collection) if len(metadata) > 1]
    assert 0 < len(some) < count
    assert {frozenset(metadata) for metadata in some} == {frozenset({"page", "cluster", "cluster_name"})}
    found = cluster_texts(texts, clusters=5)
    report = write_clusters(collection, texts, found)
    # The batch that was being written may be in Chroma's log, whole, and seen a little later.
    assert report.unchanged - len(some) in (0, 50)
    assert (report.written + report.unchanged, report.cleared) == (count, 0)
    labels = dict(zip(texts.ids, found.labels.tolist(), strict=True))
    assert held(collection) == [
        {"page": row, "cluster": labels[id], "cluster_name": found.clusters[labels[id]].name}
        for row, id in enumerate(sorted(labels))
    ]


def test_indexing_keeps_the_fields_and_the_collection_is_sound(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    names = [f"{word} {number}" for word in ("tea", "rain") for number in range(4)]
    documents = [Document(name, f"About {name}.", {"kind": "note"}) for name in names]
    collection = open_collection("docs", path=tmp_path, create=True, embedder=embedder)
    index_documents(collection, documents, embedder)
    texts = texts_of_collection(collection)
    write_clusters(collection, texts, cluster_texts(texts, clusters=2))
    before = held(collection)
    assert {metadata["cluster_name"] for metadata in before} == {"tea", "rain"}
    report = index_documents(collection, documents, embedder)
    assert (report.unchanged, report.updated, report.passages_written, report.passages_deleted) == (8, 0, 0, 0)
    assert held(collection) == before
    assert verify_collection(collection, embedder).sound
