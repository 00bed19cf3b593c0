"""A rewritten collection has the settings, metadata and recorded function of the old one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rewriting import contents, names, records
from stores import local_client, random_vectors

from minilm_retrieval.maintenance.compact import compact_collections


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"owner": "me", "version": 2}, {"hnsw:space": "ip", "hnsw:M": 30, "a": 1}])
def test_settings_and_metadata_are_kept(client: Any, metadata: Any) -> None:
    settings = {"ef_construction": 150, "max_neighbors": 20, "ef_search": 70, "sync_threshold": 500}
    legacy = metadata is not None and "hnsw:space" in metadata
    configuration = {} if legacy else {"configuration": {"hnsw": {"space": "ip", **settings}}}
    old = client.create_collection("docs", embedding_function=None, metadata=metadata, **configuration)
    old.add(
        ids=["a", "b", "c"],
        embeddings=random_vectors(3, 8),
        documents=["x", None, ""],
        metadatas=[{"k": 1}, None, None],
        uris=[None, "file:///b", None],
    )
    before = old.configuration_json["hnsw"]
    stored = records(old)
    compact_collections(client, ["docs"])
    new = client.get_collection("docs", embedding_function=None)
    assert new.id != old.id
    assert new.configuration_json["hnsw"] == before
    assert before["space"] == "ip"
    own = {key: value for key, value in (metadata or {}).items() if not key.startswith("hnsw:")}
    assert (new.metadata or {}) == own
    after = records(new)
    assert all(one.equals(other) for one, other in zip(stored, after, strict=True))
    assert [(record.document, record.metadata, record.uri) for record in after] == [
        ("x", {"k": 1}, None),
        (None, None, "file:///b"),
        ("", None, None),
    ]


def test_which_metadata_is_indexed_is_kept(client: Any) -> None:
    from chromadb.api.types import Schema, StringInvertedIndexConfig

    schema = Schema().delete_index(StringInvertedIndexConfig(), key="blob")
    old = client.create_collection("docs", schema=schema, metadata={"owner": "me"})
    old.add(ids=["a"], embeddings=random_vectors(1, 8), documents=["x"], metadatas=[{"blob": "long"}])
    before = client.get_collection("docs", embedding_function=None)
    assert compact_collections(client).failed == {}
    after = client.get_collection("docs", embedding_function=None)
    assert after.id != before.id
    assert after.schema.serialize_to_json() == before.schema.serialize_to_json()
    assert (after.configuration_json, after.metadata) == (before.configuration_json, {"owner": "me"})
    assert contents(after) == {"a": ("x", {"blob": "long"})}


def test_the_record_of_a_function_that_is_not_installed_is_kept(client: Any) -> None:
    from minilm_retrieval.maintenance.recorded_function import RecordedFunction
    from minilm_retrieval.store.stored_function import StoredFunction, stored_function

    recorded = StoredFunction("somebody_elses", {"model": "large", "window": [1, 2]})
    client.create_collection("docs", embedding_function=RecordedFunction(recorded))
    client.create_collection("plain", embedding_function=None)
    client.create_collection("default")
    compact_collections(client)
    kept = {name: stored_function(client.get_collection(name, embedding_function=None)) for name in names(client)}
    assert kept == {"docs": recorded, "plain": StoredFunction(None, {}), "default": StoredFunction("default", {})}
