"""Documents removed from a collection: by pruning, and by name."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
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


ROWS = "id,text\n1,Cats sleep.\n2,Dogs bark.\n"
REPLACED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "in another encoding": ("a.csv", lambda file: file.write_bytes(ROWS.encode("utf-16-le"))),
    "ending in zeros": ("a.jsonl", lambda file: file.write_bytes(file.read_bytes() + b"\0\0\0\0")),
    "by a link that leads nowhere": ("a.csv", lambda file: (file.unlink(), file.symlink_to(file.parent / "nowhere"))),
    "by a pipe": ("a.csv", lambda file: (file.unlink(), os.mkfifo(file))),
}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes, and few links")
@pytest.mark.parametrize(("name", "replace"), REPLACED.values(), ids=REPLACED)
@pytest.mark.parametrize("by_name", [False, True])
def test_records_stay_whose_file_is_there_but_not_read(
    collection: Any, embedder: MiniLMEmbedder, tmp_path: Path, name: str, replace: Any, by_name: bool
) -> None:
    file, other = tmp_path / "D" / name, tmp_path / "D" / "other.txt"
    file.parent.mkdir()
    file.write_text(ROWS if name == "a.csv" else '{"id": 1, "text": "Tea."}\n{"id": 2, "text": "Mice."}\n')
    other.write_text("Birds sing.")
    places = [file, other] if by_name else [file.parent]
    assert index_documents(collection, load_documents(places), embedder, prune=True).added == 3
    replace(file)
    report = index_documents(collection, load_documents(places), embedder, prune=True)
    assert (report.deleted, collection.count()) == (0, 3)
    assert len(report.failed) + len(report.skipped) == 1


def test_rows_of_parquet_stay_where_pyarrow_is_missing(
    collection: Any, embedder: MiniLMEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "D").mkdir()
    (tmp_path / "D" / "other.txt").write_text("Birds sing.")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["Cats sleep."]}), tmp_path / "D" / "a.parquet")
    assert index_documents(collection, load_documents([tmp_path / "D"]), embedder, prune=True).added == 2
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    report = index_documents(collection, load_documents([tmp_path / "D"]), embedder, prune=True)
    assert (report.deleted, len(report.skipped), collection.count()) == (0, 1, 2)


def test_a_record_stays_whose_metadata_is_refused(collection: Any, embedder: MiniLMEmbedder, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    records = [{"id": id, "text": f"text {id}"} for id in ("a", "b", "c\ud800")]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert index_documents(collection, load_documents([file]), embedder, prune=True).added == 3
    for record in records[1:]:
        record |= {"source": "web", "source_": "x"}
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    report = index_documents(collection, load_documents([file]), embedder, prune=True)
    assert (report.deleted, len(report.failed), collection.count()) == (0, 2, 3)
    file.write_text("".join(json.dumps(record) + "\n" for record in records[:2]))
    assert index_documents(collection, load_documents([file]), embedder, prune=True).deleted == 1


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
