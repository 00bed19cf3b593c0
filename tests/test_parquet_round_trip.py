"""A collection is written to a Parquet file and read from it, also after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chromadb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import three, write
from rewriting import contents, records
from stores import TOPICS, chroma_server, fill, local_client, random_vectors
from subprocesses import run_python

from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.errors import MissingExtraError, StoreLockedError, TransferError
from minilm_retrieval.maintenance import export_collection, import_collection, parquet
from minilm_retrieval.maintenance.records import record_pages
from minilm_retrieval.store.stored_function import stored_function
from minilm_retrieval.store.writer_lock import writer_lock


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path / "store")


def test_round_trip_keeps_every_bit_and_type(client: Any, tmp_path: Path) -> None:
    old = three(client, metadata={"owner": "me", "version": 2})
    file = tmp_path / "docs.parquet"
    assert export_collection(old, file) == 3
    report = import_collection(file, local_client(tmp_path / "other"))
    assert (report.collection, report.created, report.records, report.written, report.unchanged, report.note) == (
        "docs",
        True,
        3,
        3,
        0,
        None,
    )
    new = local_client(tmp_path / "other").get_collection("docs", embedding_function=None)
    for before, after in zip(records(old), records(new), strict=True):
        assert (before.id, before.document, before.uri) == (after.id, after.document, after.uri)
        assert repr(sorted((before.metadata or {}).items())) == repr(sorted((after.metadata or {}).items()))
        assert before.vector.tobytes() == after.vector.tobytes()
    assert new.metadata == {"owner": "me", "version": 2}
    assert new.configuration_json["hnsw"] == old.configuration_json["hnsw"]
    again = import_collection(file, local_client(tmp_path / "other"))
    assert (again.created, again.written, again.unchanged) == (False, 0, 3)


def test_columns_and_schema(client: Any, tmp_path: Path) -> None:
    export_collection(three(client), tmp_path / "docs.parquet")
    with pq.ParquetFile(tmp_path / "docs.parquet") as file:
        schema = file.schema_arrow
        assert schema.names == ["id", "document", "metadata", "uri", "embedding"]
        assert schema.field("embedding").type == pa.list_(pa.float32(), 3)
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        said = json.loads(schema.metadata[b"minilm_retrieval"])
    assert (said["format"], said["collection"], said["space"]) == (1, "docs", "l2")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["docs.parquet"]


def test_an_indexed_collection_is_searched_after_the_import(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    old = open_collection("docs", path=tmp_path / "a", create=True, embedder=embedder)
    old.add(ids=[str(number) for number in range(10)], documents=TOPICS, embeddings=list(embedder.encode(TOPICS)))
    export_collection(old, tmp_path / "file.parquet")
    import_collection(tmp_path / "file.parquet", local_client(tmp_path / "b"), "copy")
    copy = open_collection("copy", path=tmp_path / "b")
    assert stored_function(copy) == stored_function(old)
    hit, same = (Retriever(found, embedder).search("a rover on Mars", k=1)[0] for found in (copy, old))
    assert (hit.id, hit.document) == (same.id, same.document)
    assert hit.score == pytest.approx(same.score, abs=1e-6)


def test_an_empty_collection(client: Any, tmp_path: Path) -> None:
    assert export_collection(client.create_collection("empty"), tmp_path / "f.parquet") == 0
    report = import_collection(tmp_path / "f.parquet", client, "copy")
    assert (report.created, report.records) == (True, 0)


def test_on_a_server(tmp_path: Path) -> None:
    with chroma_server(tmp_path / "store") as port:
        server = chromadb.HttpClient(port=port)
        export_collection(three(server), tmp_path / "f.parquet")
        import_collection(tmp_path / "f.parquet", server, "copy")
        copy = server.get_collection("copy", embedding_function=None)
        assert all(
            one.equals(other)
            for one, other in zip(
                records(copy), records(server.get_collection("docs", embedding_function=None)), strict=True
            )
        )


def test_many_row_groups_and_an_interruption(client: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(parquet, "_GROUP", 1000)
    collection = fill(client, "docs", random_vectors(2500, 4), documents=[str(number) for number in range(2500)])
    file = tmp_path / "docs.parquet"
    export_collection(collection, file)
    assert pq.ParquetFile(file).num_row_groups == 3
    other = local_client(tmp_path / "other")
    calls: list[int] = []
    upsert = chromadb.Collection.upsert

    def dying(self: Any, **rest: Any) -> None:
        calls.append(len(rest["ids"]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        upsert(self, **rest)

    monkeypatch.setattr(chromadb.Collection, "upsert", dying)
    with pytest.raises(KeyboardInterrupt):
        import_collection(file, other)
    report = import_collection(file, other)
    assert (report.written, report.unchanged) == (1500, 1000)
    assert contents(other.get_collection("docs", embedding_function=None)) == contents(collection)


def test_an_interrupted_export_leaves_no_file_and_keeps_the_old_one(
    client: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    collection = fill(client, "docs", random_vectors(30, 4))
    file = tmp_path / "docs.parquet"

    def torn(found: Any, vectors: bool) -> Any:
        yield from record_pages(found, vectors=vectors)
        raise KeyboardInterrupt

    monkeypatch.setattr("minilm_retrieval.maintenance.transfer.record_pages", torn)
    for content in (None, b"the old one"):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(KeyboardInterrupt):
            export_collection(collection, file)
        assert [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()] == [content] * (content is not None)
    for target, message in ((tmp_path / "missing" / "docs.parquet", "cannot be written"), (tmp_path, "is a directory")):
        with pytest.raises(TransferError, match=message):
            export_collection(collection, target)


def test_a_killed_export_leaves_no_file_of_that_name(client: Any, tmp_path: Path) -> None:
    fill(client, "docs", random_vectors(30, 4))
    script = """
        import os, sys
        from minilm_retrieval import open_collection
        from minilm_retrieval.maintenance import export_collection
        os.fsync = lambda descriptor: os._exit(0)
        export_collection(open_collection("docs", path=sys.argv[1]), sys.argv[2])
    """
    run_python(script, str(tmp_path / "store"), str(tmp_path / "docs.parquet"))
    assert not (tmp_path / "docs.parquet").exists()
    (left,) = tmp_path.glob("*.partial")
    assert export_collection(client.get_collection("docs"), tmp_path / "docs.parquet") == 30
    assert {path for path in tmp_path.iterdir() if path.is_file()} == {tmp_path / "docs.parquet", left}


def test_lock_and_missing_extra(client: Any, tmp_path: Path, monkeypatch: Any) -> None:
    collection = three(client)
    file = write(tmp_path / "f.parquet")
    with writer_lock(client, "busy"):
        with pytest.raises(StoreLockedError):
            export_collection(collection, tmp_path / "g.parquet")
        with pytest.raises(StoreLockedError):
            import_collection(file, client, "docs")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for call in (lambda: export_collection(collection, file), lambda: import_collection(file, client, "docs")):
        with pytest.raises(MissingExtraError, match=r"minilm-retrieval\[parquet\]"):
            call()
