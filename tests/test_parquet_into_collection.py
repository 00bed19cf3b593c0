"""A Parquet file is imported into a collection that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chromadb
import pytest
from parquet_files import METADATA, SAID, three, write
from rewriting import contents, interrupt, names, records
from stores import TOPICS, fill, local_client, random_vectors

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.errors import CollectionMismatchError, InvalidOptionError, StoreError
from minilm_retrieval.maintenance import compact_collections, export_collection, import_collection
from minilm_retrieval.store.stored_function import stored_function


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path / "store")


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


def test_changed_records_are_never_away(client: Any, tmp_path: Path, monkeypatch: Any) -> None:
    collection = three(client)
    export_collection(collection, tmp_path / "docs.parquet")
    collection.update(ids=["a"], documents=["other"], metadatas=[{"k": 1}], embeddings=[[1, 2, 3]])
    monkeypatch.setattr(chromadb.Collection, "delete", None)
    assert import_collection(tmp_path / "docs.parquet", client).written == 1
    assert contents(collection)["a"] == ("text\n", METADATA[0])
    assert collection.get(where={"k": 1})["ids"] == []


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


@pytest.mark.parametrize("step", ["gap", "named"])
def test_an_import_first_finishes_an_interrupted_switch(
    client: Any, tmp_path: Path, fake_engine: Any, step: str
) -> None:
    collection = fill(client, "docs", random_vectors(10, 8), documents=TOPICS)
    file = write(tmp_path / "f.parquet", embedding=random_vectors(2, 8).tolist())
    steps = interrupt({"gap": 4, "named": 5}[step], compact_collections, client)
    assert steps[-1] == {"gap": "modify", "named": "delete_collection"}[step]
    assert ("docs" in names(client)) == (step == "named")
    report = import_collection(file, client, "docs")
    assert (report.created, report.written) == (False, 2)
    assert names(client) == ["docs"]
    assert client.get_collection("docs").count() == 12
    assert client.get_collection("docs").id != collection.id


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
