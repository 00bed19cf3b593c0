from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stores import fill, local_client, random_vectors

from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.store import recorded_embedder


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


def made_with(client: Any, **options: Any) -> Any:
    open_collection("docs", client=client, create=True, embedder=MiniLMEmbedder(**options))
    return open_collection("docs", client=client)


def test_what_decides_the_vectors_is_taken_from_the_record(client: Any) -> None:
    embedder = recorded_embedder(made_with(client, precision="int8", max_seq_length=128, normalize=False))
    assert (embedder.precision, embedder.max_seq_length, embedder.normalize) == ("int8", 128, False)
    assert Retriever(open_collection("docs", client=client)).embedder.precision == "int8"


def test_what_is_asked_for_goes_before_the_record(client: Any) -> None:
    embedder = recorded_embedder(
        made_with(client, precision="int8", max_seq_length=128), precision="float32", threads=1
    )
    assert (embedder.precision, embedder.max_seq_length) == ("float32", 128)


@pytest.mark.parametrize(("has_it", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_only_where_the_processor_has_it(
    client: Any, monkeypatch: pytest.MonkeyPatch, has_it: bool, precision: str
) -> None:
    monkeypatch.setattr("minilm_retrieval.engines.openvino.has_bfloat16", lambda: has_it)
    assert recorded_embedder(made_with(client, precision="bfloat16")).precision == precision


@pytest.mark.parametrize("config", [{"precision": "int2"}, {"max_seq_length": "long"}, {"unknown": 1}])
def test_defaults_where_the_record_is_no_use(client: Any, monkeypatch: pytest.MonkeyPatch, config: Any) -> None:
    collection = made_with(client, precision="int8")
    recorded = collection.configuration_json["embedding_function"]
    configuration = {"embedding_function": {**recorded, "config": {**recorded["config"], **config}}}
    monkeypatch.setattr(type(collection), "configuration_json", configuration)
    embedder = recorded_embedder(collection)
    assert (embedder.precision, embedder.max_seq_length) == ("float32", 256)


def test_defaults_where_nothing_is_recorded(client: Any) -> None:
    embedder = recorded_embedder(fill(client, "docs", random_vectors(3)))
    assert (embedder.precision, embedder.is_standard) == ("float32", True)
