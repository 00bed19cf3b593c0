"""The embedding function inside Chroma: the protocol, what is stored, and what a new process makes of it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from chromadb.utils.embedding_functions import DefaultEmbeddingFunction, known_embedding_functions
from stores import TOPICS, chroma_server, local_client
from subprocesses import run_python

from chroma_minilm import MiniLMEmbeddingFunction
from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError, InvalidTextError, MiniLMError


@pytest.fixture
def function() -> MiniLMEmbeddingFunction:
    return MiniLMEmbeddingFunction(on_truncate="ignore")


def test_documents_and_queries_are_the_core_s_vectors(
    function: MiniLMEmbeddingFunction, embedder: MiniLMEmbedder
) -> None:
    expected = embedder.encode(TOPICS)
    for vectors in (function(TOPICS), function.embed_query(TOPICS), function.embed_with_retries(TOPICS)):
        assert isinstance(vectors, list)
        assert all(vector.dtype == np.float32 and vector.shape == (384,) for vector in vectors)
        np.testing.assert_array_equal(np.stack(vectors), expected)


@pytest.mark.parametrize("bad", ["a bare string", [1], ["a", None], None])
def test_what_is_not_a_list_of_texts_is_refused(function: MiniLMEmbeddingFunction, bad: Any) -> None:
    with pytest.raises(InvalidTextError, match="Expected"):
        function(bad)


def test_protocol(function: MiniLMEmbeddingFunction) -> None:
    assert function.name() == "minilm_retrieval"
    assert MiniLMEmbeddingFunction.name() == "minilm_retrieval"
    assert known_embedding_functions["minilm_retrieval"] is MiniLMEmbeddingFunction
    assert function.default_space() == "cosine"
    assert function.supported_spaces() == ["cosine", "l2", "ip"]
    assert function.max_tokens() == 256
    assert not function.is_legacy()


def test_configuration_is_pure_and_round_trips(function: MiniLMEmbeddingFunction) -> None:
    config = function.get_config()
    assert json.loads(json.dumps(config)) == config
    config["precision"] = "changed by the caller"
    assert MiniLMEmbeddingFunction.build_from_config(function.get_config()).get_config() == function.get_config()


def test_instances_made_from_a_configuration_load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chroma makes one at every look at a collection's configuration."""
    monkeypatch.setattr("minilm_retrieval.embedder.load_model", lambda name: pytest.fail("loaded"))
    config = MiniLMEmbeddingFunction(max_seq_length=100).get_config()
    assert MiniLMEmbeddingFunction.build_from_config(config).get_config()["max_seq_length"] == 100


@pytest.mark.parametrize(
    "config",
    [
        {"model_path": "/somewhere"},
        {"trust_remote_code": True},
        {"max_seq_length": "256"},
        {"max_seq_length": True},
        {"normalize": 1},
        {"precision": "float7"},
        {"on_truncate": "explode"},
    ],
)
def test_stored_configuration_is_not_trusted(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        MiniLMEmbeddingFunction.build_from_config(config)


def test_model_named_in_a_stored_configuration_is_never_loaded(standard_directory: Path) -> None:
    config = {"model": str(standard_directory), "fingerprint": "0" * 32}
    function = MiniLMEmbeddingFunction.build_from_config(config)
    assert function.get_config() == config
    with pytest.raises(MiniLMError, match="made with another model"):
        function(["text"])


def test_update_that_changes_vectors_is_refused(function: MiniLMEmbeddingFunction) -> None:
    old = function.get_config()
    function.validate_config_update(old, MiniLMEmbeddingFunction(on_truncate="error").get_config())
    with pytest.raises(InvalidOptionError, match="max_seq_length decides the vectors"):
        function.validate_config_update(old, MiniLMEmbeddingFunction(max_seq_length=64).get_config())


def test_collection_uses_cosine_unless_told(tmp_path: Path, function: MiniLMEmbeddingFunction) -> None:
    client = local_client(tmp_path)
    plain = client.create_collection("plain", embedding_function=function)
    chosen = client.create_collection("chosen", embedding_function=function, configuration={"hnsw": {"space": "ip"}})
    old = client.create_collection("old", embedding_function=function, metadata={"hnsw:space": "l2"})
    spaces = [collection.configuration_json["hnsw"]["space"] for collection in (plain, chosen, old)]
    assert spaces == ["cosine", "ip", "l2"]


def test_new_process_finds_the_function_by_its_name(tmp_path: Path, function: MiniLMEmbeddingFunction) -> None:
    collection = local_client(tmp_path).create_collection("docs", embedding_function=function)
    collection.add(ids=[str(number) for number in range(10)], documents=TOPICS)
    output = run_python(
        """
        import sys, chroma_minilm, chromadb
        collection = chromadb.PersistentClient(sys.argv[1]).get_collection("docs")
        print(type(collection.configuration["embedding_function"]).__name__)
        print(collection.configuration["embedding_function"].get_config()["on_truncate"])
        collection.add(ids=["new"], documents=["A kitten naps on the sofa."])
        print(collection.query(query_texts=["sleepy cat"], n_results=2)["ids"][0])
        """,
        str(tmp_path),
    )
    assert output.split("\n")[:3] == ["MiniLMEmbeddingFunction", "ignore", "['new', '0']"]


def test_process_without_us_still_searches_by_vector(tmp_path: Path, function: MiniLMEmbeddingFunction) -> None:
    collection = local_client(tmp_path).create_collection("docs", embedding_function=function)
    collection.add(ids=["a"], documents=["hello"])
    output = run_python(
        """
        import sys, chromadb
        collection = chromadb.PersistentClient(sys.argv[1]).get_collection("docs")
        print(collection.query(query_embeddings=[[1.0] * 384], n_results=1)["ids"], collection.get()["documents"])
        try:
            collection.query(query_texts=["x"])
        except ValueError as error:
            print("not found" in str(error))
        """,
        str(tmp_path),
    )
    assert output == "[['a']] ['hello']\nTrue\n"


def test_conflicting_function_is_refused_by_chroma(tmp_path: Path, function: MiniLMEmbeddingFunction) -> None:
    client = local_client(tmp_path)
    client.create_collection("theirs")
    with pytest.raises(ValueError, match="Embedding function conflict"):
        client.get_collection("theirs", embedding_function=function)
    client.create_collection("ours", embedding_function=function)
    assert client.get_collection("ours").get()["ids"] == []


def test_modify_keeps_the_function(tmp_path: Path, function: MiniLMEmbeddingFunction) -> None:
    client = local_client(tmp_path)
    collection = client.create_collection("docs", embedding_function=function)
    collection.modify(configuration={"hnsw": {"ef_search": 200}})
    again = client.get_collection("docs")
    assert again.configuration_json["embedding_function"]["name"] == "minilm_retrieval"
    assert again.configuration_json["hnsw"]["ef_search"] == 200


def test_real_server_stores_and_embeds(tmp_path: Path, function: MiniLMEmbeddingFunction) -> None:
    with chroma_server(tmp_path) as port:
        client = chromadb.HttpClient(host="127.0.0.1", port=port)
        collection = client.create_collection("docs", embedding_function=function)
        collection.add(ids=[str(number) for number in range(10)], documents=TOPICS)
        again = chromadb.HttpClient(host="127.0.0.1", port=port).get_collection("docs")
        assert again.query(query_texts=["rover on Mars"], n_results=1)["ids"] == [["8"]]
        assert again.configuration_json["embedding_function"]["config"] == function.get_config()


def test_importing_leaves_the_default_alone() -> None:
    output = run_python(
        """
        from chromadb.utils.embedding_functions import DefaultEmbeddingFunction, known_embedding_functions
        before = DefaultEmbeddingFunction.__call__
        import chroma_minilm
        print(known_embedding_functions["default"] is DefaultEmbeddingFunction)
        print(DefaultEmbeddingFunction.__call__ is before)
        """
    )
    assert output == "True\nTrue\n"


def test_for_default_does_not_replace_the_registered_default(tmp_path: Path) -> None:
    client = local_client(tmp_path)
    client.create_collection("docs", embedding_function=MiniLMEmbeddingFunction.for_default())
    assert known_embedding_functions["default"] is DefaultEmbeddingFunction
    assert known_embedding_functions["minilm_retrieval"] is MiniLMEmbeddingFunction


@pytest.mark.parametrize("option", ["model", "max_seq_length", "normalize"])
def test_for_default_refuses_what_the_default_decides(option: str) -> None:
    with pytest.raises(InvalidOptionError, match=option):
        MiniLMEmbeddingFunction.for_default(**{option: None})


def test_pickled_functions_keep_their_name(function: MiniLMEmbeddingFunction) -> None:
    for original in (function, MiniLMEmbeddingFunction.for_default()):
        copied = pickle.loads(pickle.dumps(original))
        assert (copied.name(), copied.get_config()) == (original.name(), original.get_config())


def test_vectors_of_other_lengths_rank_by_cosine_only() -> None:
    assert MiniLMEmbeddingFunction(normalize=False).supported_spaces() == ["cosine"]
