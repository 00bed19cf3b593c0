from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from rewriting import contents, interrupt, names
from stores import chroma_server, fill, local_client, random_vectors
from subprocesses import run_python

from minilm_retrieval.errors import StoreError, StoreUnavailableError
from minilm_retrieval.maintenance import compact_collections, directory, reembed_collection
from minilm_retrieval.store import connect

UNUSED = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


def size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def folders(directory: Path) -> set[str]:
    return {folder.name for folder in directory.iterdir() if folder.is_dir()}


def test_a_directory_shrinks_after_deletions_and_answers_as_before(client: Any, tmp_path: Path) -> None:
    texts = [f"text number {number} " * 20 for number in range(3000)]
    vectors = random_vectors(3000)
    collection = fill(client, "docs", vectors, documents=texts)
    for start in range(0, 2500, 500):
        collection.delete(ids=[f"id-{number:05}" for number in range(start, start + 500)])
    before = contents(collection)
    full = size(tmp_path)
    queries = list(random_vectors(3, seed=5))
    answers = collection.query(query_embeddings=queries, n_results=5)
    report = compact_collections(client, ["docs"])
    assert size(tmp_path) < full / 3
    assert report.bytes_before == full
    assert report.bytes_after == size(tmp_path)
    assert (report.collections, report.folders_removed) == ({"docs": 500}, 1)
    rebuilt = client.get_collection("docs", embedding_function=None)
    assert contents(rebuilt) == before
    again = rebuilt.query(query_embeddings=queries, n_results=5)
    assert again["ids"] == answers["ids"]
    np.testing.assert_allclose(again["distances"], answers["distances"], atol=1e-6)
    assert rebuilt.get(where_document={"$contains": "number 2999"})["ids"] == ["id-02999"]
    rebuilt.add(ids=["new"], embeddings=queries[:1], documents=["new"])
    assert rebuilt.query(query_embeddings=queries[:1], n_results=1)["ids"] == [["new"]]


def test_another_process_reads_the_compacted_directory(client: Any, tmp_path: Path) -> None:
    fill(client, "docs", random_vectors(1500, 8))
    compact_collections(client)
    script = """
        import sys, chromadb
        collection = chromadb.PersistentClient(sys.argv[1]).get_collection("docs")
        print(collection.count(), len(collection.get(include=["embeddings"])["embeddings"]))
    """
    assert run_python(script, str(tmp_path)).split() == ["1500", "1500"]


def test_only_unused_index_folders_are_removed(client: Any, tmp_path: Path) -> None:
    fill(client, "docs", random_vectors(1100, 8))
    (used,) = folders(tmp_path)
    for name in (UNUSED, UNUSED.replace("0f", "1f"), UNUSED.upper().replace("0F", "2F"), "index"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "header.bin").write_bytes(b"x")
    (tmp_path / UNUSED.replace("0f", "1f") / "notes.txt").write_text("mine")
    elsewhere = tmp_path / "index"
    (tmp_path / UNUSED.replace("0f", "3f")).symlink_to(elsewhere)
    assert directory.remove_unused_folders(tmp_path) == 1
    assert UNUSED not in folders(tmp_path)
    assert used in folders(tmp_path)
    assert len(folders(tmp_path)) == 5
    assert (elsewhere / "header.bin").exists()


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "SELECT * FROM segments"])
def test_a_busy_database_is_said_and_left_as_it_is(
    client: Any, tmp_path: Path, monkeypatch: Any, statement: str
) -> None:
    monkeypatch.setattr(directory, "_BUSY_SECONDS", 0.1)
    fill(client, "docs", random_vectors(20, 8))
    with closing(sqlite3.connect(tmp_path / "chroma.sqlite3", isolation_level=None)) as other:
        reading = other.execute(statement)
        reading.fetchone()
        with pytest.raises(StoreError, match=r"locked.*Nothing is lost"):
            directory.vacuum(tmp_path)
        reading.close()
    directory.vacuum(tmp_path)
    assert client.get_collection("docs", embedding_function=None).count() == 20


def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"nonsense" * 1000)
    with pytest.raises(StoreError, match="cannot be used now"):
        directory.remove_unused_folders(tmp_path)
    with pytest.raises(StoreError):
        directory.vacuum(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_an_index_without_links_is_repaired_and_one_without_vectors_is_named(tmp_path: Path) -> None:
    """The index is damaged between two processes; texts outlive the index. What reads it asks for lots of memory."""
    store, lost = tmp_path / "store", tmp_path / "lost"
    helpers = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom stores import *\n"
    client = f"local_client(Path({str(store)!r}))"
    run_python(f"{helpers}fill({client}, 'docs', random_vectors(1500), documents=['text'] * 1500)")
    shutil.copytree(store, lost)
    links = next(store.glob("*/link_lists.bin"))
    links.write_bytes(links.read_bytes()[: links.stat().st_size // 2])
    compact = "from minilm_retrieval.maintenance import compact_collections\n"
    assert run_python(f"{helpers}{compact}print(compact_collections({client}).collections)") == "{'docs': 1500}\n"
    repaired = local_client(store)
    query = random_vectors(1500)[7]
    collection = repaired.get_collection("docs", embedding_function=None)
    assert collection.query(query_embeddings=[query], n_results=1)["ids"] == [["id-00007"]]
    shutil.rmtree(next(lost.glob("*/header.bin")).parent)
    client = local_client(lost)
    report = compact_collections(client)
    assert report.collections == {}
    assert "minilm reembed --force --collection docs" in report.failed["docs"]
    assert len(contents(client.get_collection("docs", embedding_function=None))) == 1500


def test_all_collections_and_unfinished_ones(client: Any, fake_engine: Any, monkeypatch: Any) -> None:
    for name in ("one", "two"):
        fill(client, name, random_vectors(30, 8), documents=["text"] * 30)
    interrupt(3, compact_collections, client, ["one"])
    assert len(names(client)) > 2
    assert compact_collections(client).collections == {"one": 30, "two": 30}
    assert names(client) == ["one", "two"]
    interrupt(1, reembed_collection, client, "one")
    report = compact_collections(client, ["nope", "one", "two"])
    assert report.collections == {"two": 30}
    assert list(report.failed) == ["nope", "one"]
    assert report.failed["nope"].startswith("No collection 'nope' here.")
    assert report.failed["one"].startswith("'one' is half re-embedded, in 'one.rewriting'")
    assert names(client) == ["one", "one.rewriting", "two"]


def test_a_database_that_is_busy_at_the_end_costs_no_report(client: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(directory, "_BUSY_SECONDS", 0.1)
    fill(client, "docs", random_vectors(20, 8))
    with closing(sqlite3.connect(tmp_path / "chroma.sqlite3", isolation_level=None)) as busy:

        def vacuuming(folder: Path) -> None:
            busy.execute("BEGIN IMMEDIATE")
            directory.vacuum(folder)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("minilm_retrieval.maintenance.compact.vacuum", vacuuming)
            report = compact_collections(client)
    assert report.collections == {"docs": 20}
    assert "could not be freed" in str(report.note)
    assert compact_collections(client).note is None


def test_files_that_vanish_or_are_closed_do_not_stop_it(client: Any, tmp_path: Path, monkeypatch: Any) -> None:
    fill(client, "docs", random_vectors(20, 8))
    (tmp_path / UNUSED).mkdir()
    (tmp_path / "gone").write_text("x")
    listed, stat = Path.iterdir, Path.stat

    def closed(self: Path) -> Any:
        if self.name == UNUSED:
            raise PermissionError
        return listed(self)

    def vanished(self: Path, **options: Any) -> Any:
        if self.name == "gone" and options == {}:
            raise FileNotFoundError
        return stat(self, **options)

    monkeypatch.setattr(Path, "iterdir", closed)
    monkeypatch.setattr(Path, "stat", vanished)
    report = compact_collections(client)
    assert (report.collections, report.note) == ({"docs": 20}, None)
    assert (tmp_path / UNUSED).is_dir()


def test_on_a_server(tmp_path: Path) -> None:
    with chroma_server(tmp_path) as port:
        client = chromadb.HttpClient(port=port)
        collection = fill(client, "docs", random_vectors(20, 8), documents=["text"] * 20)
        report = compact_collections(client, ["docs"])
        assert (report.collections, report.bytes_before, report.bytes_after) == ({"docs": 20}, None, None)
        assert client.get_collection("docs").id != collection.id
        client = connect(host="127.0.0.1", port=port, retry_for=0)
    with pytest.raises(StoreUnavailableError, match="no answer to 1 try"):
        compact_collections(client, ["docs", "others"])
