"""What other processes write while a collection is rewritten."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import chromadb
import pytest
from chromadb import Collection
from rewriting import COUNT, contents, make
from stores import chroma_server, local_client, random_vectors

from minilm_retrieval.errors import CollectionNotFoundError, RestartWarning, StoreError, StoreLockedError
from minilm_retrieval.maintenance.compact import compact_collections
from minilm_retrieval.maintenance.reembed import reembed_collection
from minilm_retrieval.store.writer_lock import writer_lock


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with chroma_server(tmp_path_factory.mktemp("server")) as port:
        yield chromadb.HttpClient(port=port)


@pytest.fixture
def remote(server: Any) -> Any:
    for collection in server.list_collections():
        server.delete_collection(collection.name)
    return server


def test_what_is_written_to_a_server_while_copying_is_not_lost(remote: Any, fake_engine: Any, monkeypatch: Any) -> None:
    source = make(remote)
    upsert = Collection.upsert

    def writing(self: Any, **records: Any) -> None:
        """During the first pass, when the first lot has been copied."""
        upsert(self, **records)
        monkeypatch.setattr(Collection, "upsert", upsert)
        source.delete(ids=["id-00000"])
        source.update(
            ids=["id-00001"],
            documents=["a new text"],
            metadatas=[{"number": None, "z": 1}],
            embeddings=random_vectors(1, 32),
        )
        source.add(ids=["late"], embeddings=random_vectors(1, 32), documents=["late"])
        source.modify(metadata={"owner": "new"})

    monkeypatch.setattr(Collection, "upsert", writing)
    reembed_collection(remote, "docs")
    collection = remote.get_collection("docs", embedding_function=None)
    found = contents(collection)
    assert "id-00000" not in found
    assert found["id-00001"] == ("a new text", {"even": False, "tags": ["a", "b"], "z": 1})
    assert found["late"] == ("late", None)
    assert len(found) == COUNT
    assert collection.metadata == {"owner": "new"}


def test_after_the_switch_only_additions_to_the_old_collection_are_copied(
    remote: Any, fake_engine: Any, monkeypatch: Any
) -> None:
    """What is deleted or written in the new one by then stays so."""
    source = make(remote)
    modify = Collection.modify

    def renaming(self: Any, **change: Any) -> None:
        if change.get("name") == "docs.replaced":
            source.add(ids=["late", "twice"], embeddings=random_vectors(2, 32), documents=["late", "old"])
        modify(self, **change)
        if change.get("name") == "docs":
            self.delete(ids=["id-00000"])
            self.update(ids=["id-00001"], documents=["newer"], embeddings=random_vectors(1))
            self.add(ids=["twice"], documents=["newer"], embeddings=random_vectors(1))

    monkeypatch.setattr(Collection, "modify", renaming)
    assert reembed_collection(remote, "docs").embedded == COUNT + 1
    found = contents(remote.get_collection("docs", embedding_function=None))
    assert "id-00000" not in found
    assert (found["id-00001"][0], found["twice"][0], found["late"][0]) == ("newer", "newer", "late")


@pytest.mark.parametrize("space", ["l2", "ip"], ids=["finished", "thrown away"])
def test_a_second_rewriting_on_a_server_stops(remote: Any, fake_engine: Any, monkeypatch: Any, space: str) -> None:
    """Another process finishes the copy that this one fills, or makes one of its own; what is live is not touched."""
    make(remote)
    upsert = Collection.upsert

    def overtaken(self: Any, **records: Any) -> None:
        upsert(self, **records)
        monkeypatch.setattr(Collection, "upsert", upsert)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RestartWarning)
            reembed_collection(remote, "docs", space=space, keep=True)
        live = remote.get_collection("docs", embedding_function=None)
        live.add(ids=["new"], documents=["new"], embeddings=random_vectors(1))

    monkeypatch.setattr(Collection, "upsert", overtaken)
    with pytest.raises(StoreError, match=r"Another process has finished|Collection .* does not exist"):
        reembed_collection(remote, "docs")
    assert len(contents(remote.get_collection("docs", embedding_function=None))) == COUNT + 1


def test_only_one_writer(tmp_path: Path) -> None:
    client = local_client(tmp_path)
    make(client)
    with writer_lock(client, "busy"), pytest.raises(StoreLockedError, match="busy"):
        reembed_collection(client, "docs")
    with writer_lock(client, "busy"), pytest.raises(StoreLockedError):
        compact_collections(client)
    with pytest.raises(CollectionNotFoundError):
        reembed_collection(client, "nope")
