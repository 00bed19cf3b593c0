"""Documents indexed into a collection."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshots import assert_equal, built_from_scratch, snapshot
from stores import LONG, TOPICS, chroma_server, fill, local_client, random_vectors

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    DocumentError,
    InvalidOptionError,
    StoreError,
)
from minilm_retrieval.ingest import Failure
from minilm_retrieval.maintenance import reembed_collection


@pytest.fixture
def collection(tmp_path: Path) -> Any:
    return open_collection("docs", path=tmp_path, create=True)


def test_passages_vectors_and_places_are_stored(collection: Any, embedder: MiniLMEmbedder) -> None:
    report = index_documents(collection, [Document("long", LONG, {"kind": "test"})], embedder)
    assert (report.added, report.updated, report.unchanged, report.failed) == (1, 0, 0, [])
    assert report.passages_written == collection.count() > 1
    page = collection.get(include=["documents", "metadatas", "embeddings"])
    for text, metadata, vector in zip(page["documents"], page["metadatas"], page["embeddings"], strict=True):
        assert LONG[metadata["start"] : metadata["end"]] == text
        assert (metadata["source"], metadata["kind"]) == ("long", "test")
        np.testing.assert_allclose(vector, embedder.encode(text), atol=1e-5)


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
    assert collection.get()["documents"] == ["text"]


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


def test_settings_do_not_disturb_what_the_collection_notes_itself(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    client = local_client(tmp_path)
    for metadata in ({"owner": "me"}, {"hnsw:space": "l2", "owner": "me"}):
        collection = client.create_collection("docs", embedding_function=None, metadata=metadata)
        index_documents(collection, [Document("a", "text")], embedder)
        found = client.get_collection("docs", embedding_function=None)
        assert metadata.items() <= found.metadata.items()
        assert Retriever(found, embedder).search("text", k=1)[0].score == pytest.approx(1, abs=1e-5)
        client.delete_collection("docs")


def test_metadata_that_is_stored_otherwise_is_reported(collection: Any, embedder: MiniLMEmbedder) -> None:
    documents = [Document(str(number), "text", {"tags": {"a": number}, "source": "web"}) for number in range(3)]
    report = index_documents(collection, documents, embedder)
    assert report.metadata_changes == {"'tags' stored as text": 3, "'source' stored as 'source_'": 3}
    page = collection.get(where={"source_": "web"}, include=["metadatas"])
    assert sorted(metadata["tags"] for metadata in page["metadatas"]) == ['{"a": 0}', '{"a": 1}', '{"a": 2}']


def test_stages_are_timed(collection: Any, embedder: MiniLMEmbedder) -> None:
    def slowly() -> Iterator[Document]:
        time.sleep(0.2)
        yield Document("a", LONG)

    report = index_documents(collection, slowly(), embedder)
    assert report.stage_seconds["reading"] >= 0.2
    assert all(report.stage_seconds[stage] > 0 for stage in ("splitting", "comparing", "embedding", "writing"))
    assert report.stage_seconds["embedding"] < report.seconds


@pytest.mark.parametrize("item", ["text", None, ("id", "text")])
def test_other_things_than_documents_are_refused(collection: Any, embedder: MiniLMEmbedder, item: Any) -> None:
    with pytest.raises(DocumentError, match=rf"got {type(item).__name__} at position 1"):
        index_documents(collection, [Document("a", "x"), item], embedder)


def test_a_frameworks_document_is_named_with_what_to_do(collection: Any, embedder: MiniLMEmbedder) -> None:
    langchain = pytest.importorskip("langchain_core.documents").Document(page_content="x")
    llama = pytest.importorskip("llama_index.core.schema").Document(text="x")
    for wrong, attribute in ((langchain, "page_content"), (llama, "text")):
        with pytest.raises(DocumentError) as caught:
            index_documents(collection, [wrong], embedder)
        assert str(caught.value) == (
            f"Expected documents to be minilm_retrieval.Document, got {type(wrong).__module__}.Document at position 0. "
            f"Give Document(id=..., text=d.{attribute}, metadata=d.metadata)."
        )
    assert collection.count() == 0


@pytest.mark.parametrize("wrong", [Document("a", "x"), None])
def test_one_document_is_not_several(collection: Any, embedder: MiniLMEmbedder, wrong: Any) -> None:
    with pytest.raises(
        InvalidOptionError, match=rf"one after the other, got {type(wrong).__name__}\. Put one in a list"
    ):
        index_documents(collection, wrong, embedder)


def test_errors_of_the_documents_and_of_the_store_come_through(
    collection: Any, embedder: MiniLMEmbedder, monkeypatch: Any
) -> None:
    def failing() -> Iterator[Document]:
        yield Document("a", "x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        index_documents(collection, failing(), embedder)

    def refuse(self: Any, **rest: Any) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(type(collection), "upsert", refuse)
    endless = (Document(str(number), LONG) for number in itertools.count())
    with pytest.raises(StoreError, match=r"no more\. 0 passages of this run were written and stay; run it again"):
        index_documents(collection, endless, embedder)


def test_two_writers_on_a_server_with_documents_of_their_own(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    documents = [Document(str(number), f"text {number}") for number in range(60)]
    with chroma_server(tmp_path / "server") as port:
        collections = [open_collection("docs", host="127.0.0.1", port=port, create=True) for _ in range(2)]
        with ThreadPoolExecutor(2) as executor:
            runs = [
                executor.submit(index_documents, collection, documents[part::2], embedder)
                for part, collection in enumerate(collections)
            ]
        assert [run.result().added for run in runs] == [30, 30]
        assert_equal(snapshot(collections[0]), built_from_scratch(tmp_path / "scratch", documents, embedder))


def test_a_collection_that_was_replaced_is_not_written_to(collection: Any, embedder: MiniLMEmbedder) -> None:
    client = local_client(Path(collection._client.get_settings().persist_directory))
    reembed_collection(client, "docs", embedder, space="l2", keep=True)
    with pytest.raises(CollectionNotFoundError, match="'docs' was replaced by another since it was opened"):
        index_documents(collection, [Document("a", "text")], embedder)
    collection._client.delete_collection("docs")
    with pytest.raises(CollectionNotFoundError, match="'docs' was deleted or renamed"):
        index_documents(collection, [Document("a", "text")], embedder)
