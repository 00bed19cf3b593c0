"""Documents removed from a collection: by pruning, and by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.ingest import Failure, load_documents, remove_documents


@pytest.fixture
def collection(tmp_path: Path) -> Any:
    return open_collection("docs", path=tmp_path, create=True)


def sources(collection: Any) -> list[str]:
    return sorted(metadata["source"] for metadata in collection.get()["metadatas"])


def test_prune_removes_what_is_no_longer_given(collection: Any, embedder: MiniLMEmbedder) -> None:
    documents = [Document(name, f"text {name}") for name in ("a", "b", "folder/c", "d#1", "e")]
    index_documents(collection, documents, embedder)
    collection.add(ids=["foreign"], documents=["somebody else's"], metadatas=[{"source": "zzz"}])
    bad = Document("e", "x", {"y": {"z": 1}})
    given: list[Any] = [documents[0], Failure("folder", "gone"), Failure("d", "bad"), bad]
    report = index_documents(collection, given, embedder, metadata_policy="error", prune=True)
    assert report.deleted == 1
    assert sources(collection) == ["a", "d#1", "e", "folder/c", "zzz"]


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
    left = {source.removeprefix(f"{tmp_path}/") for source in sources(collection)}
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


def test_documents_are_removed_by_name(collection: Any, embedder: MiniLMEmbedder) -> None:
    names = ["/a/x.md", "/a/b/y.md", "/ab/z.md", "/r.csv#1", "/r.csv#2", "plain", "plainer"]
    index_documents(collection, [Document(name, f"text {name}") for name in names], embedder)
    collection.add(ids=["foreign"], documents=["theirs"], metadatas=[{"source": "/a/x.md"}])
    report = remove_documents(collection, ["/a/", "/r.csv", "plain", "unknown"])
    assert (report.deleted, report.passages_deleted) == (5, 5)
    assert sources(collection) == ["/a/x.md", "/ab/z.md", "plainer"]
    with pytest.raises(InvalidOptionError, match="must be a list"):
        remove_documents(collection, "plainer")
