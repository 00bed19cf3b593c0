"""Collections of Chroma's own default function, computed by its own code from the same weights in ONNX."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import chromadb
import numpy as np
import pytest
from chromadb.api.types import DefaultEmbeddingFunction
from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2
from export_onnx import chroma_download_path, export
from stores import local_client

from chroma_minilm import (
    MiniLMEmbeddingFunction,
    accelerate_default_function,
    accelerated_default_function,
    restore_default_function,
)
from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection

QUESTIONS = [
    "How does a for loop end?",
    "names and scopes",
    "what does the with statement do",
    "operator precedence",
    "import a module",
]


@pytest.fixture(scope="module")
def onnx_model(tmp_path_factory: pytest.TempPathFactory, standard_directory: Path) -> Path:
    """Export the published weights as the ONNX model that Chroma would download."""
    for package in ("onnx", "torch", "transformers"):
        pytest.importorskip(package)
    directory = tmp_path_factory.mktemp("onnx-model")
    export(standard_directory, directory)
    return chroma_download_path(directory)


@pytest.fixture
def default_model(onnx_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", onnx_model)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    paragraphs = [part.strip() for name in sorted(topics)[:30] for part in topics[name].split("\n\n")]
    return list(dict.fromkeys(part for part in paragraphs if 40 < len(part) < 900))[:150]


@pytest.fixture(scope="module")
def default_store(tmp_path_factory: pytest.TempPathFactory, onnx_model: Path, texts: list[str]) -> Path:
    """A directory that Chroma's own function wrote, once: it takes its time."""
    directory = tmp_path_factory.mktemp("default-store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", onnx_model)
        collection = local_client(directory).create_collection("docs")
        assert collection.configuration_json["embedding_function"]["name"] == "default"
        collection.add(ids=[f"id-{number:03}" for number in range(len(texts))], documents=texts)
    return directory


@pytest.fixture
def default_collection(tmp_path: Path, default_store: Path, default_model: None) -> Any:
    """A collection of Chroma's own function, in a copy of that directory."""
    shutil.copytree(default_store, tmp_path, dirs_exist_ok=True)
    return local_client(tmp_path).get_collection("docs")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    restore_default_function()


def test_default_collection_gives_the_same_answers_through_us(
    default_collection: Any, tmp_path: Path, embedder: MiniLMEmbedder, texts: list[str]
) -> None:
    theirs = default_collection.query(query_texts=QUESTIONS, n_results=10)
    ours = local_client(tmp_path).get_collection("docs", embedding_function=MiniLMEmbeddingFunction.for_default())
    found = ours.query(query_texts=QUESTIONS, n_results=10)
    assert found["ids"] == theirs["ids"]
    np.testing.assert_allclose(found["distances"], theirs["distances"], atol=1e-4)

    hits = Retriever(open_collection("docs", path=tmp_path), embedder).search_many(QUESTIONS, k=10)
    assert [[hit.id for hit in row] for row in hits] == theirs["ids"]
    cosines = 1 - np.array(theirs["distances"]) / 2
    np.testing.assert_allclose([[hit.score for hit in row] for row in hits], cosines, atol=1e-4)


def test_default_collection_stays_usable_without_us(default_collection: Any, tmp_path: Path, texts: list[str]) -> None:
    ours = local_client(tmp_path).get_collection("docs", embedding_function=MiniLMEmbeddingFunction.for_default())
    ours.add(ids=["new"], documents=["The zebra crossed the road at midnight."])
    theirs = local_client(tmp_path).get_collection("docs")
    assert isinstance(theirs._embedding_function, DefaultEmbeddingFunction)
    assert theirs.configuration_json["embedding_function"] == {"type": "known", "name": "default", "config": {}}
    # Before all others, and all are asked for: Chroma's own index may miss the nearest one, as it did 17 times in 240.
    found = theirs.query(query_texts=["a striped animal on a street"], n_results=len(texts) + 1)["ids"]
    assert found[0][0] == "new"
    assert len(found[0]) == len(texts) + 1


def test_collection_made_with_for_default_opens_without_us(tmp_path: Path, default_model: None) -> None:
    client = local_client(tmp_path)
    made = client.create_collection("made", embedding_function=MiniLMEmbeddingFunction.for_default())
    made.add(ids=["a", "b"], documents=["apples and pears", "engines and wheels"])
    assert client.get_collection("made").query(query_texts=["fruit"], n_results=1)["ids"] == [["a"]]


def test_acceleration_covers_old_and_new_default_collections_and_can_be_undone(
    default_collection: Any, embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = default_collection.query(query_texts=QUESTIONS, n_results=5)["ids"]
    used: list[int] = []
    original = ONNXMiniLM_L6_V2.__call__
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "__call__", lambda self, texts: used.append(1) or original(self, texts))

    accelerate_default_function()
    accelerate_default_function(threads=1)
    assert default_collection.query(query_texts=QUESTIONS, n_results=5)["ids"] == before
    fresh = chromadb.EphemeralClient().get_or_create_collection("fresh-default")
    fresh.upsert(ids=["a"], documents=["hello world"])
    stored = fresh.get(include=["embeddings"])["embeddings"][0]
    np.testing.assert_allclose(stored, embedder.encode("hello world"), atol=1e-6)
    assert fresh.configuration_json["embedding_function"]["name"] == "default"
    assert used == []

    restore_default_function()
    restore_default_function()
    assert default_collection.query(query_texts=QUESTIONS, n_results=5)["ids"] == before
    assert used != []


def test_acceleration_for_a_block(default_model: None) -> None:
    original = DefaultEmbeddingFunction.__call__
    with accelerated_default_function():
        assert DefaultEmbeddingFunction.__call__ is not original
    assert DefaultEmbeddingFunction.__call__ is original


def test_accelerations_within_each_other(default_model: None) -> None:
    original = DefaultEmbeddingFunction.__call__
    accelerate_default_function()
    outer = DefaultEmbeddingFunction.__call__
    with accelerated_default_function(threads=1):
        inner = DefaultEmbeddingFunction.__call__
        with accelerated_default_function():
            assert DefaultEmbeddingFunction.__call__ not in (original, outer, inner)
        assert DefaultEmbeddingFunction.__call__ is inner
    assert DefaultEmbeddingFunction.__call__ is outer
    restore_default_function()
    assert DefaultEmbeddingFunction.__call__ is original


def test_what_somebody_else_has_put_there_stays(default_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(self: Any, input: Any) -> Any:
        return []

    with accelerated_default_function():
        monkeypatch.setattr(DefaultEmbeddingFunction, "__call__", other)
    assert DefaultEmbeddingFunction.__call__ is other
    restore_default_function()
    assert DefaultEmbeddingFunction.__call__ is other
