"""Indexing again: what changed, what was interrupted, and what is already there."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshots import assert_equal, built_from_scratch, snapshot
from stores import LONG, TOPICS

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.errors import SplittingWarning
from minilm_retrieval.ingest import IndexingInterrupted, PassageSplitter


@pytest.fixture
def collection(tmp_path: Path) -> Any:
    return open_collection("docs", path=tmp_path, create=True)


def test_second_run_embeds_nothing(collection: Any, embedder: MiniLMEmbedder, monkeypatch: Any) -> None:
    documents = [Document("long", LONG), Document("short", "hello")]
    index_documents(collection, documents, embedder)
    before = snapshot(collection)
    embedded: list[str] = []
    encode_stream = embedder.encode_stream

    def spy(texts: Any) -> Any:
        return encode_stream(embedded.append(text) or text for text in texts)

    monkeypatch.setattr(embedder, "encode_stream", spy)
    report = index_documents(collection, documents, embedder)
    assert (report.unchanged, report.added, report.updated, report.passages_written) == (2, 0, 0, 0)
    assert embedded == []
    assert_equal(snapshot(collection), before)


def test_changed_document_is_replaced(collection: Any, embedder: MiniLMEmbedder, tmp_path: Path) -> None:
    index_documents(collection, [Document("a", LONG), Document("b", "other")], embedder)
    changed = LONG[: len(LONG) // 2] + " A new ending."
    documents = [Document("a", changed), Document("b", "other")]
    report = index_documents(collection, documents, embedder)
    assert (report.updated, report.unchanged) == (1, 1)
    assert 0 < report.passages_written < collection.count()
    assert_equal(snapshot(collection), built_from_scratch(tmp_path / "scratch", documents, embedder))


def test_changed_metadata_and_emptied_documents(collection: Any, embedder: MiniLMEmbedder) -> None:
    index_documents(collection, [Document("a", "text", {"v": 1}), Document("b", "text")], embedder)
    report = index_documents(collection, [Document("a", "text", {"v": 2}), Document("b", "  ")], embedder)
    assert (report.updated, report.passages_deleted) == (2, 2)
    assert collection.get()["metadatas"] == [{"v": 2, "source": "a", "start": 0, "end": 4}]


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
    assert collection.get()["documents"] == ["the new text"]


def test_records_of_other_tools_with_the_same_source_are_left_alone(collection: Any, embedder: MiniLMEmbedder) -> None:
    collection.add(ids=["foreign"], documents=["theirs"], metadatas=[{"source": "a"}])
    index_documents(collection, [Document("a", "ours")], embedder)
    index_documents(collection, [Document("a", "ours, changed")], embedder)
    assert sorted(collection.get()["documents"]) == ["ours, changed", "theirs"]


def test_an_interruption_keeps_what_was_written_and_the_next_run_adds_the_rest(
    collection: Any, embedder: MiniLMEmbedder
) -> None:
    documents = [Document(str(number), f"{LONG[:1500]} {number}") for number in range(250)]

    def interrupted() -> Iterator[Document]:
        yield from documents
        deadline = time.monotonic() + 60
        while not collection.count():
            assert time.monotonic() < deadline, "nothing is written while the source waits"
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


def test_unchanged_pieces_of_a_changed_document_are_not_embedded_again(
    collection: Any, embedder: MiniLMEmbedder, monkeypatch: Any, tmp_path: Path
) -> None:
    text = "\n\n".join(f"{topic} " * 12 for topic in TOPICS)
    index_documents(collection, [Document("a", text, {"v": 1})], embedder, passage_tokens=128)
    count = collection.count()
    changed = f"{'A new beginning. ' * 20}\n\n{text}"
    report = index_documents(collection, [Document("a", changed, {"v": 2})], embedder, passage_tokens=128)
    assert report.passages_written == collection.count() > count
    assert report.passages_reused == report.passages_deleted == count
    monkeypatch.setattr(embedder, "encode_stream", None)
    again = index_documents(collection, [Document("a", changed, {"v": 3})], embedder, passage_tokens=128)
    assert again.passages_reused == again.passages_written == collection.count()
    monkeypatch.undo()
    scratch = built_from_scratch(tmp_path / "scratch", [Document("a", changed, {"v": 3})], embedder, passage_tokens=128)
    assert_equal(snapshot(collection), scratch)


def test_a_damaged_vector_is_not_taken_over(collection: Any, embedder: MiniLMEmbedder) -> None:
    index_documents(collection, [Document("a", "the text", {"v": 1})], embedder)
    collection.update(ids=collection.get()["ids"], embeddings=[[0.0] * 384])
    report = index_documents(collection, [Document("a", "the text", {"v": 2})], embedder)
    assert (report.passages_written, report.passages_reused) == (1, 0)
    np.testing.assert_allclose(
        collection.get(include=["embeddings"])["embeddings"][0], embedder.encode("the text"), atol=1e-5
    )


def test_an_unfinished_document_is_completed_and_an_older_version_removed(
    collection: Any, embedder: MiniLMEmbedder, tmp_path: Path
) -> None:
    index_documents(collection, [Document("a", LONG)], embedder)
    whole = snapshot(collection)
    changed = Document("a", LONG[300:])
    splitter = PassageSplitter(embedder)
    half = splitter.split(changed)[::2]
    collection.upsert(
        ids=[passage.id for passage in half],
        embeddings=embedder.encode([passage.text for passage in half]),
        documents=[passage.text for passage in half],
        metadatas=[passage.metadata for passage in half],
    )
    report = index_documents(collection, [changed], embedder)
    assert (report.updated, report.passages_deleted) == (1, len(whole))
    assert_equal(snapshot(collection), built_from_scratch(tmp_path / "scratch", [changed], embedder))
    assert index_documents(collection, [changed], embedder).unchanged == 1


def test_another_passage_size_is_said_and_taken_up(collection: Any, embedder: MiniLMEmbedder, tmp_path: Path) -> None:
    documents = [Document("long", LONG), Document("short", "hello")]
    index_documents(collection, documents, embedder)
    with pytest.warns(
        SplittingWarning, match="at most 256 tokens and an overlap of 0 until now; from now on 64 and 16"
    ):
        report = index_documents(collection, documents, embedder, passage_tokens=64, passage_overlap=16)
    assert (report.updated, report.passages_reused) == (2, 1)
    scratch = tmp_path / "scratch"
    assert_equal(
        snapshot(collection), built_from_scratch(scratch, documents, embedder, passage_tokens=64, passage_overlap=16)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = index_documents(collection, documents, embedder, passage_tokens=64, passage_overlap=16)
    assert again.unchanged == 2


def test_what_another_handle_noted_since_is_kept(collection: Any, embedder: MiniLMEmbedder, tmp_path: Path) -> None:
    index_documents(collection, [Document("long", LONG)], embedder)
    other = open_collection("docs", path=tmp_path)
    other.modify(metadata={**other.metadata, "owner": "me"})
    index_documents(collection, [Document("long", LONG)], embedder)
    assert collection.metadata == open_collection("docs", path=tmp_path).metadata == other.metadata
    with pytest.warns(SplittingWarning, match="from now on 128"):
        index_documents(other, [Document("long", LONG)], embedder, passage_tokens=128)
    with pytest.warns(SplittingWarning, match="at most 128 tokens .* from now on 256"):
        index_documents(collection, [Document("long", LONG)], embedder)
    expected = {"owner": "me", "minilm_passage_tokens": 256, "minilm_passage_overlap": 0}
    assert collection.metadata == open_collection("docs", path=tmp_path).metadata == expected


def test_documents_without_text_are_empty_each_time(collection: Any, embedder: MiniLMEmbedder) -> None:
    for _ in range(2):
        report = index_documents(collection, [Document("a", " \n")], embedder)
        assert (report.empty, report.added, report.unchanged) == (1, 0, 0)
