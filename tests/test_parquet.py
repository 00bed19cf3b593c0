from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import TOPICS, chroma_server, fill, local_client, random_vectors
from subprocesses import run_python
from test_rewrite import Death, Killed, contents, names

from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.errors import (
    CollectionMismatchError,
    InvalidOptionError,
    MissingExtraError,
    StoreError,
    StoreLockedError,
    TransferError,
)
from minilm_retrieval.maintenance import compact_collections, export_collection, import_collection, parquet
from minilm_retrieval.maintenance.records import record_pages
from minilm_retrieval.store.collection import space_of, stored_function
from minilm_retrieval.store.writer_lock import writer_lock

METADATA: list[Any] = [
    {"text": "ümlaut", "whole": 2**53 + 1, "number": 1.0, "truth": False, "many": [1, 2], "flags": [True], "f": [0.5]},
    None,
    {"a": 1},
]


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path / "store")


def records(collection: Any) -> list[Any]:
    return [record for page in record_pages(collection, vectors=True) for record in page]


def three(client: Any, **options: Any) -> Any:
    collection = client.create_collection(
        "docs", embedding_function=None, configuration={"hnsw": {"space": "l2", "max_neighbors": 20}}, **options
    )
    collection.add(
        ids=["a", "b", "c"],
        embeddings=list(np.float32([[1e-30, 3.3333333, -7], [0, 0, 0.1], [1, 2, 3]])),
        documents=["text\n", None, ""],
        metadatas=METADATA,
        uris=[None, "file:///b", None],
    )
    return collection


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


def test_changed_records_are_replaced_whole_and_others_stay(client: Any, tmp_path: Path) -> None:
    collection = three(client)
    export_collection(collection, tmp_path / "docs.parquet")
    collection.update(ids=["c"], embeddings=[[1, 2, 3]], documents=["other"], metadatas=[{"added": 1}])
    collection.add(ids=["d"], embeddings=[[3, 2, 1]], documents=["stays"])
    report = import_collection(tmp_path / "docs.parquet", client)
    assert (report.written, report.unchanged) == (1, 2)
    assert contents(client.get_collection("docs", embedding_function=None)) == {
        "a": ("text\n", METADATA[0]),
        "b": (None, None),
        "c": ("", {"a": 1}),
        "d": ("stays", None),
    }


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


def write(file: Path, said: Any = None, **columns: Any) -> Path:
    table = pa.table({"id": ["a", "b"], "embedding": [[1.0, 2.0], [3.0, 4.0]]} | columns)
    if said is not None:
        text = said if isinstance(said, str) else json.dumps(said)
        table = table.replace_schema_metadata({"minilm_retrieval": text})
    pq.write_table(table, file)
    return file


SAID = {
    "format": 1,
    "collection": "docs",
    "space": "ip",
    "index": {"hnsw": {"max_neighbors": 24}},
    "metadata": {"a": 1},
    "function": {"name": None, "config": {}},
}


def test_a_file_of_another_tool(client: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "f.parquet", document=["x", None], extra=[1, 2])
    with pytest.raises(InvalidOptionError, match="give a name"):
        import_collection(file, client)
    assert import_collection(file, client, "docs", space="l2").written == 2
    collection = client.get_collection("docs", embedding_function=None)
    assert (space_of(collection), contents(collection)) == ("l2", {"a": ("x", None), "b": (None, None)})
    import_collection(file, client, "cosine")
    assert space_of(client.get_collection("cosine")) == "cosine"


BROKEN = [
    ({"id": ["a", "a"]}, "'a' comes twice"),
    ({"id": ["a", None]}, "row 1 has no id"),
    ({"id": [1, 2]}, "column 'id' is int64; expected a string"),
    ({"embedding": [[1.0, 2.0], [3.0]]}, "'b' has 1 numbers, those before it 2"),
    ({"embedding": [[1.0, 2.0], [3.0, float("nan")]]}, "'b' has numbers that are not finite"),
    ({"embedding": [[1.0, 2.0], [3.0, 1e300]]}, "'b' has numbers that are not finite"),
    ({"embedding": [[1.0, 2.0], None]}, "'b' has no vector"),
    ({"embedding": [[1.0, 2.0], [None, 1.0]]}, "'b' has no vector, or one with gaps"),
    ({"embedding": ["1", "2"]}, "expected a list of floating-point numbers"),
    ({"metadata": ["{}", "{"]}, "metadata of 'b' is not JSON"),
    ({"metadata": ["{}", "[1]"]}, "metadata of 'b' must be a JSON object"),
    ({"metadata": ["{}", '{"x": NaN}']}, "metadata of 'b' cannot be stored by Chroma: 'x' is nan"),
    ({"metadata": ["{}", '{"x": {"y": 1}}']}, "'x' is a dict"),
    ({"metadata": ["{}", '{"$ref": 1}']}, "key '.ref' is empty, starts with"),
    ({"metadata": ["{}", '{"chroma:document": "x"}']}, "key 'chroma:document'"),
    ({"metadata": ["{}", "[" * 100_000]}, "metadata of 'b' is not JSON"),
    ({"document": pa.array([b"a", b"\xff"]).view(pa.string())}, "cannot be read as a whole Parquet file.*utf-8"),
    ({"metadata": [{"x": 1}, {"x": 2}]}, "expected a string with a JSON object"),
    ({"said": "{"}, "not readable"),
    ({"said": {"format": 2}}, "reads 1"),
    ({"said": {"format": 1}}, "settings are not readable"),
    ({"said": SAID | {"space": "x"}}, "expected one of"),
    ({"said": SAID | {"function": {"name": "minilm_retrieval", "config": {"path": "/etc"}}}}, "unknown key 'path'"),
    ({"said": SAID | {"function": {"name": "minilm_retrieval", "config": {"fingerprint": "ff"}}}}, "fingerprint ff"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_what_cannot_be_stored_is_refused_before_anything_is(
    client: Any, tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(TransferError, match=message):
        import_collection(write(tmp_path / "f.parquet", **change), client, "docs")
    assert client.list_collections() == []


def test_damaged_files(client: Any, tmp_path: Path) -> None:
    whole = write(tmp_path / "f.parquet").read_bytes()
    broken = bytearray(whole)
    broken[4:40] = b"\xff" * 36
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:-10], bytes(broken)):
        (tmp_path / "f.parquet").write_bytes(content)
        with pytest.raises(TransferError, match=r"f\.parquet"):
            import_collection(tmp_path / "f.parquet", client, "docs")
    with pytest.raises(TransferError, match="cannot be read"):
        import_collection(tmp_path / "missing.parquet", client, "docs")
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "f.parquet")
    with pytest.raises(TransferError, match=r"no column 'id'.*has: text"):
        import_collection(tmp_path / "f.parquet", client, "docs")
    assert client.list_collections() == []


def test_a_files_settings_are_not_trusted(client: Any, tmp_path: Path) -> None:
    said = SAID | {
        "index": {"hnsw": {"max_neighbors": 10**9, "ef_search": 50, "ef_construction": "x", "num_threads": 4000}},
        "metadata": {"a": 1, "minilm_rewriting": "{}", "hnsw:space": "l2", "nested": {}},
        "function": {"name": "sentence_transformer", "config": {"kwargs": {"trust_remote_code": True}}},
    }
    report = import_collection(write(tmp_path / "f.parquet", said), client)
    assert "'sentence_transformer' is not recorded" in str(report.note)
    collection = client.get_collection("docs", embedding_function=None)
    assert stored_function(collection).name is None
    assert collection.metadata == {"a": 1}
    settings = collection.configuration_json["hnsw"]
    assert (settings["space"], settings["max_neighbors"], settings["ef_search"]) == ("ip", 16, 50)


def test_default_function(tmp_path: Path, client: Any) -> None:
    said = SAID | {"function": {"name": "default", "config": {}}}
    import_collection(write(tmp_path / "f.parquet", said), client)
    assert stored_function(client.get_collection("docs", embedding_function=None)).name == "default"


def test_what_does_not_belong_in_a_collection(client: Any, tmp_path: Path, small_model: Any) -> None:
    file = write(tmp_path / "f.parquet", SAID)
    fill(client, "docs", random_vectors(3, 5), space="ip").delete(ids=["id-00000", "id-00001", "id-00002"])
    with pytest.raises(CollectionMismatchError, match=r"vectors of 5 numbers, .*f\.parquet of 2"):
        import_collection(file, client)
    fill(client, "other", random_vectors(3, 2), space="l2")
    with pytest.raises(CollectionMismatchError, match=r"space 'l2', .* 'ip'"):
        import_collection(file, client, "other")
    with pytest.raises(InvalidOptionError, match="says that its space is 'ip', not 'l2'"):
        import_collection(file, client, "other", space="l2")
    ours = open_collection("ours", client=client, create=True, space="ip")
    theirs = open_collection(
        "theirs", client=client, create=True, space="ip", embedder=MiniLMEmbedder(small_model.write())
    )
    export_collection(theirs, tmp_path / "theirs.parquet")
    with pytest.raises(
        CollectionMismatchError, match=f"{stored_function(ours).fingerprint}.*{stored_function(theirs).fingerprint}"
    ):
        import_collection(tmp_path / "theirs.parquet", client, "ours")
    with pytest.raises(CollectionMismatchError, match="vectors of 2 numbers, all-MiniLM-L6-v2 gives 384"):
        import_collection(file, client, "ours")
    assert {ours.count(), theirs.count()} == {0}
    fill(client, "unknown", random_vectors(3, 2), space="ip")
    assert "is not recorded" in str(import_collection(file, client, "unknown").note)


def test_vectors_of_unknown_origin_are_compared_with_their_texts(
    client: Any, tmp_path: Path, embedder: MiniLMEmbedder
) -> None:
    file, good = tmp_path / "f.parquet", embedder.encode(TOPICS)
    cases = {"foreign": random_vectors(10), "same": good, "textless": good, "cut": good + 0.6 * random_vectors(10)}
    for name, vectors in cases.items():
        export_collection(fill(client, name, vectors, documents=None if name == "textless" else TOPICS), file)
        ours = open_collection(f"to-{name}", client=client, create=True, embedder=embedder)
        default = client.create_collection(f"default-{name}", configuration={"hnsw": {"space": "cosine"}})
        for collection in (ours, default):
            if name == "foreign":
                with pytest.raises(CollectionMismatchError, match=r"another model than all-MiniLM-L6-v2.*cosine"):
                    import_collection(file, client, collection.name)
                assert collection.count() == 0
                continue
            report = import_collection(file, client, collection.name)
            assert report.written == 10
            assert {"same": "None", "textless": "is not recorded", "cut": "differ"}[name] in str(report.note)


def test_a_file_of_this_model_does_not_get_into_a_collection_of_another(
    client: Any, tmp_path: Path, embedder: MiniLMEmbedder
) -> None:
    ours = open_collection("ours", client=client, create=True, embedder=embedder)
    ours.add(ids=["x"], documents=TOPICS[:1], embeddings=list(embedder.encode(TOPICS[:1])))
    export_collection(ours, tmp_path / "f.parquet")
    foreign = fill(client, "foreign", random_vectors(10), documents=TOPICS)
    with pytest.raises(CollectionMismatchError, match="The collection 'foreign' was embedded by another model"):
        import_collection(tmp_path / "f.parquet", client, "foreign")
    assert foreign.count() == 10
    fill(client, "same", embedder.encode(TOPICS), documents=TOPICS)
    assert import_collection(tmp_path / "f.parquet", client, "same").note is None


def test_precisions_are_not_mixed(client: Any, tmp_path: Path) -> None:
    coarse = open_collection("coarse", client=client, create=True, embedder=MiniLMEmbedder(precision="int8"))
    export_collection(coarse, tmp_path / "f.parquet")
    open_collection("fine", client=client, create=True)
    client.create_collection("default", configuration={"hnsw": {"space": "cosine"}})
    for name in ("fine", "default"):
        with pytest.raises(
            CollectionMismatchError, match=r"in float32, .* in int8.*minilm reembed --precision float32"
        ):
            import_collection(tmp_path / "f.parquet", client, name)
    assert import_collection(tmp_path / "f.parquet", client).note is None


def test_what_chroma_refuses_costs_nothing(client: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Not even the records that lose a text, which have to be deleted first."""
    collection = three(client)
    export_collection(collection, tmp_path / "docs.parquet")
    collection.update(
        ids=["b", "c"],
        embeddings=[[0, 0, 5], [1, 2, 3]],
        documents=["a text", "other"],
        metadatas=[{"k": 1}, {"added": 1}],
        uris=["file:///b", "file:///c"],
    )
    before = {record.id: record for record in records(collection)}
    upsert = chromadb.Collection.upsert

    def refusing(self: Any, **rest: Any) -> None:
        monkeypatch.setattr(chromadb.Collection, "upsert", upsert)
        raise ValueError("refused")

    monkeypatch.setattr(chromadb.Collection, "upsert", refusing)
    with pytest.raises(StoreError, match="refused"):
        import_collection(tmp_path / "docs.parquet", client)
    after = {record.id: record for record in records(collection)}
    assert after.keys() == before.keys()
    assert all(after[id].equals(before[id]) for id in before)
    assert import_collection(tmp_path / "docs.parquet", client).written == 2
    assert contents(collection) == {"a": ("text\n", METADATA[0]), "b": (None, None), "c": ("", {"a": 1})}


def test_changed_records_are_never_away(client: Any, tmp_path: Path, monkeypatch: Any) -> None:
    collection = three(client)
    export_collection(collection, tmp_path / "docs.parquet")
    collection.update(ids=["a"], documents=["other"], metadatas=[{"k": 1}], embeddings=[[1, 2, 3]])
    monkeypatch.setattr(chromadb.Collection, "delete", None)
    assert import_collection(tmp_path / "docs.parquet", client).written == 1
    assert contents(collection)["a"] == ("text\n", METADATA[0])
    assert collection.get(where={"k": 1})["ids"] == []


@pytest.mark.parametrize("step", ["gap", "named"])
def test_an_import_first_finishes_an_interrupted_switch(
    client: Any, tmp_path: Path, fake_engine: Any, step: str
) -> None:
    collection = fill(client, "docs", random_vectors(10, 8), documents=TOPICS)
    file = write(tmp_path / "f.parquet", embedding=random_vectors(2, 8).tolist())
    with pytest.MonkeyPatch.context() as patch:
        death = Death(patch, client)
        death.at = {"gap": 4, "named": 5}[step]
        with pytest.raises(Killed):
            compact_collections(client)
        assert death.calls[-1] == {"gap": "modify", "named": "delete_collection"}[step]
    assert ("docs" in names(client)) == (step == "named")
    report = import_collection(file, client, "docs")
    assert (report.created, report.written) == (False, 2)
    assert names(client) == ["docs"]
    assert client.get_collection("docs").count() == 12
    assert client.get_collection("docs").id != collection.id


def test_an_empty_collection(client: Any, tmp_path: Path) -> None:
    assert export_collection(client.create_collection("empty"), tmp_path / "f.parquet") == 0
    report = import_collection(tmp_path / "f.parquet", client, "copy")
    assert (report.created, report.records) == (True, 0)


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
