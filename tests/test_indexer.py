from __future__ import annotations

import itertools
import shutil
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshots import assert_equal, built_from_scratch, snapshot
from stores import TOPICS, chroma_server, fill, local_client, random_vectors

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    DocumentError,
    InvalidOptionError,
    SplittingWarning,
    StoreError,
)
from minilm_retrieval.ingest import Failure, IndexingInterrupted, PassageSplitter, load_documents, remove_documents
from minilm_retrieval.maintenance import reembed_collection

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


def test_pruning_files_removes_what_is_gone_from_the_given_places(
    collection: Any, embedder: MiniLMEmbedder, tmp_path: Path
) -> None:
    texts = {"C/a.md": "a", "C/b.md": "b", "C/c.txt": "c", "C/r.csv": "id,text\nx,one\ny,two\n", "C/d/e.md": "e"}
    others = {"C#/a.md": "other", "D/a.md": "other", "C/bad.jsonl": '{"text": "fine", "id": "q"}\n', "C/#x.md": "x"}
    for name, text in (texts | others).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    index_documents(collection, [Document("C/a.md", "not a file")], embedder)
    first = index_documents(collection, load_documents([tmp_path / "C", tmp_path / "C#", tmp_path / "D"]), embedder)
    assert first.added == 10

    for name in ("C/b.md", "C/#x.md", "C#/a.md", "D/a.md", "C/d/e.md"):
        (tmp_path / name).unlink()
    (tmp_path / "C" / "r.csv").write_text("id,text\ny,two\n")
    (tmp_path / "C" / "bad.jsonl").write_text("broken\n")
    report = index_documents(collection, load_documents([tmp_path / "C"], exclude=["c.txt"]), embedder, prune=True)
    assert (report.deleted, len(report.failed)) == (4, 1)
    left = {str(metadata["source"]).removeprefix(f"{tmp_path}/") for _, metadata in stored(collection).values()}
    assert left == {"C/a.md", "C/c.txt", "C/r.csv#y", "C/bad.jsonl#q", "C#/a.md", "D/a.md"}


def test_a_place_that_is_missing_as_a_whole_is_not_pruned(
    collection: Any, embedder: MiniLMEmbedder, tmp_path: Path
) -> None:
    """Its disk may just not be there."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.txt").write_text(name)
    places = [tmp_path / "a", tmp_path / "b"]
    index_documents(collection, load_documents(places), embedder)
    shutil.rmtree(tmp_path / "b")
    report = index_documents(collection, load_documents(places), embedder, prune=True)
    assert (report.deleted, [failure.reason for failure in report.failed]) == (0, ["no such file or folder"])
    assert index_documents(collection, load_documents([tmp_path]), embedder, prune=True).deleted == 1


def test_pruning_with_nothing_given_removes_nothing(collection: Any, embedder: MiniLMEmbedder) -> None:
    index_documents(collection, [Document("a", "text")], embedder)
    report = index_documents(collection, [], embedder, prune=True)
    assert (report.deleted, collection.count()) == (0, 1)
    assert report.failed == [Failure("prune", "no document was given, so nothing was removed")]


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


def test_documents_without_text_are_empty_each_time(collection: Any, embedder: MiniLMEmbedder) -> None:
    for _ in range(2):
        report = index_documents(collection, [Document("a", " \n")], embedder)
        assert (report.empty, report.added, report.unchanged) == (1, 0, 0)


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


def test_documents_are_removed_by_name(collection: Any, embedder: MiniLMEmbedder) -> None:
    names = ["/a/x.md", "/a/b/y.md", "/ab/z.md", "/r.csv#1", "/r.csv#2", "plain", "plainer"]
    index_documents(collection, [Document(name, f"text {name}") for name in names], embedder)
    collection.add(ids=["foreign"], documents=["theirs"], metadatas=[{"source": "/a/x.md"}])
    report = remove_documents(collection, ["/a/", "/r.csv", "plain", "unknown"])
    assert (report.deleted, report.passages_deleted) == (5, 5)
    assert sorted(metadata["source"] for _, metadata in stored(collection).values()) == [
        "/a/x.md",
        "/ab/z.md",
        "plainer",
    ]
    with pytest.raises(InvalidOptionError, match="must be a list"):
        remove_documents(collection, "plainer")
