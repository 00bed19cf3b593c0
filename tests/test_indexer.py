from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import TOPICS, fill, local_client, random_vectors

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.errors import CollectionMismatchError
from minilm_retrieval.ingest import Failure, IndexingInterrupted

LONG = " ".join(f"{text} Part {number}." for number in range(12) for text in TOPICS)


@pytest.fixture
def collection(tmp_path: Path) -> Any:
    return open_collection("docs", path=tmp_path, create=True)


def stored(collection: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    page = collection.get(include=["documents", "metadatas"])
    return dict(zip(page["ids"], zip(page["documents"], page["metadatas"], strict=True), strict=True))


def test_passages_vectors_and_places_are_stored(collection: Any, embedder: MiniLMEmbedder) -> None:
    report = index_documents(collection, [Document("long", LONG, {"kind": "test"})], embedder)
    assert (report.added, report.updated, report.unchanged, report.failed) == (1, 0, 0, [])
    assert report.passages_written == collection.count() > 1
    page = collection.get(include=["documents", "metadatas", "embeddings"])
    for text, metadata, vector in zip(page["documents"], page["metadatas"], page["embeddings"], strict=True):
        assert LONG[metadata["start"] : metadata["end"]] == text
        assert (metadata["source"], metadata["kind"]) == ("long", "test")
        np.testing.assert_allclose(vector, embedder.encode(text), atol=1e-5)


def test_second_run_embeds_nothing(collection: Any, embedder: MiniLMEmbedder, monkeypatch: Any) -> None:
    documents = [Document("long", LONG), Document("short", "hello")]
    index_documents(collection, documents, embedder)
    before = stored(collection)
    embedded: list[str] = []
    encode_stream = embedder.encode_stream

    def spy(texts: Any) -> Any:
        return encode_stream(embedded.append(text) or text for text in texts)

    monkeypatch.setattr(embedder, "encode_stream", spy)
    report = index_documents(collection, documents, embedder)
    assert (report.unchanged, report.added, report.updated, report.passages_written) == (2, 0, 0, 0)
    assert embedded == []
    assert stored(collection) == before


def test_changed_document_is_replaced(collection: Any, embedder: MiniLMEmbedder, tmp_path: Path) -> None:
    index_documents(collection, [Document("a", LONG), Document("b", "other")], embedder)
    changed = LONG[: len(LONG) // 2] + " A new ending."
    report = index_documents(collection, [Document("a", changed), Document("b", "other")], embedder)
    assert (report.updated, report.unchanged) == (1, 1)
    assert 0 < report.passages_written < collection.count()
    fresh = open_collection("fresh", path=tmp_path / "fresh", create=True)
    index_documents(fresh, [Document("a", changed), Document("b", "other")], embedder)
    assert stored(collection) == stored(fresh)


def test_changed_metadata_and_emptied_documents(collection: Any, embedder: MiniLMEmbedder) -> None:
    index_documents(collection, [Document("a", "text", {"v": 1}), Document("b", "text")], embedder)
    report = index_documents(collection, [Document("a", "text", {"v": 2}), Document("b", "  ")], embedder)
    assert (report.updated, report.passages_deleted) == (2, 2)
    assert [metadata for _, metadata in stored(collection).values()] == [{"v": 2, "source": "a", "start": 0, "end": 4}]


def test_new_passages_are_there_before_old_ones_go(collection: Any, embedder: MiniLMEmbedder, monkeypatch: Any) -> None:
    index_documents(collection, [Document("a", "the old text")], embedder)
    calls: list[str] = []
    for name in ("upsert", "delete"):
        action = getattr(type(collection), name)
        monkeypatch.setattr(
            type(collection),
            name,
            lambda self, *args, name=name, action=action, **rest: calls.append(name) or action(self, *args, **rest),
        )
    index_documents(collection, [Document("a", "the new text")], embedder)
    assert calls == ["upsert", "delete"]
    assert [text for text, _ in stored(collection).values()] == ["the new text"]


def test_prune_removes_what_is_no_longer_given(collection: Any, embedder: MiniLMEmbedder) -> None:
    documents = [Document(name, f"text {name}") for name in ("a", "b", "folder/c", "d#1", "e")]
    index_documents(collection, documents, embedder)
    collection.add(ids=["foreign"], documents=["somebody else's"], metadatas=[{"source": "zzz"}])
    bad = Document("e", "x", {"y": {"z": 1}})
    given: list[Any] = [documents[0], Failure("folder", "gone"), Failure("d", "bad"), bad]
    report = index_documents(collection, given, embedder, metadata_policy="error", prune=True)
    assert report.deleted == 1
    assert {metadata["source"] for _, metadata in stored(collection).values()} == {"a", "folder/c", "d#1", "e", "zzz"}


def test_records_of_other_tools_with_the_same_source_are_left_alone(collection: Any, embedder: MiniLMEmbedder) -> None:
    collection.add(ids=["foreign"], documents=["theirs"], metadatas=[{"source": "a"}])
    index_documents(collection, [Document("a", "ours")], embedder)
    index_documents(collection, [Document("a", "ours, changed")], embedder)
    assert sorted(text for text, _ in stored(collection).values()) == ["ours, changed", "theirs"]


def test_failures_do_not_stop_the_rest(collection: Any, embedder: MiniLMEmbedder) -> None:
    documents: list[Any] = [
        Document("bad", "x", {"a": {"b": 1}}),
        Document("good", "text"),
        Failure("file", "broken"),
        Document("good", "again"),
    ]
    report = index_documents(collection, documents, embedder, metadata_policy="error")
    assert [failure.source for failure in report.failed] == ["bad", "file", "good"]
    assert "given before" in report.failed[2].reason
    assert [text for text, _ in stored(collection).values()] == ["text"]


def test_an_interruption_keeps_what_was_written_and_the_next_run_adds_the_rest(
    collection: Any, embedder: MiniLMEmbedder
) -> None:
    documents = [Document(str(number), f"{LONG[:1500]} {number}") for number in range(250)]

    def interrupted() -> Iterator[Document]:
        yield from documents
        while not collection.count():
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(IndexingInterrupted) as caught:
        index_documents(collection, interrupted(), embedder, prune=True)
    written = collection.count()
    assert caught.value.report.interrupted
    assert caught.value.report.passages_written == written > 0
    report = index_documents(collection, documents, embedder)
    assert (report.added + report.updated + report.unchanged, report.interrupted) == (250, False)
    assert report.passages_written == collection.count() - written > 0


def test_batches_respect_the_limit_of_the_store(collection: Any, embedder: MiniLMEmbedder, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(collection._client), "get_max_batch_size", lambda self: 7)
    sizes: list[int] = []
    upsert = type(collection).upsert
    monkeypatch.setattr(
        type(collection), "upsert", lambda self, **rest: sizes.append(len(rest["ids"])) or upsert(self, **rest)
    )
    index_documents(collection, [Document(str(number), f"text {number}") for number in range(30)], embedder)
    assert sum(sizes) == 30
    assert max(sizes) <= 7


def test_collection_of_another_model_is_refused(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    other = fill(local_client(tmp_path), "docs", random_vectors(10), documents=TOPICS)
    with pytest.raises(CollectionMismatchError):
        index_documents(other, [Document("a", "x")], embedder)
    assert other.count() == 10


def test_what_was_indexed_is_found(collection: Any, embedder: MiniLMEmbedder) -> None:
    index_documents(collection, (Document(str(number), text) for number, text in enumerate(TOPICS)), embedder)
    hit = Retriever(collection, embedder).search("red planet mission", k=1)[0]
    assert (hit.document, hit.metadata["source"]) == (TOPICS[8], "8")
