"""A collection is searched only with the model that made it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from small_models import SmallModel
from stores import TOPICS, fill, local_client, random_vectors

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.errors import CollectionMismatchError, DifferingVectorsWarning
from minilm_retrieval.maintenance.recorded_function import RecordedFunction
from minilm_retrieval.store import check_collection
from minilm_retrieval.store.stored_function import StoredFunction


def test_other_dimension_names_both_and_the_remedy(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection = fill(local_client(tmp_path), "docs", random_vectors(3, 1536))
    with pytest.raises(CollectionMismatchError, match=r"1536 numbers.*gives 384.*new collection"):
        Retriever(collection, embedder)


def test_other_model_of_the_same_dimension_is_found_out(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection = fill(local_client(tmp_path), "docs", random_vectors(10), documents=TOPICS)
    with pytest.raises(CollectionMismatchError, match=r"another model.*median cosine.*index the documents"):
        Retriever(collection, embedder)


def test_other_fingerprint_is_refused_even_when_empty(tmp_path: Path) -> None:
    collection = open_collection("docs", path=tmp_path, create=True)
    with pytest.raises(CollectionMismatchError, match=r"max_seq_length 256.*max_seq_length 64"):
        Retriever(collection, MiniLMEmbedder(max_seq_length=64))


def test_model_of_ones_own_is_recorded_and_recognised(tmp_path: Path, small_model: SmallModel) -> None:
    directory = small_model.write()
    own = MiniLMEmbedder(directory)
    collection = open_collection("docs", path=tmp_path / "store", create=True, embedder=own)
    vectors = own.encode(TOPICS)
    collection.add(ids=[str(number) for number in range(10)], documents=TOPICS, embeddings=list(vectors))
    again = open_collection("docs", path=tmp_path / "store")
    assert Retriever(again, own).search(TOPICS[3], k=1)[0].document == TOPICS[3]
    with pytest.raises(CollectionMismatchError, match="fingerprint"):
        Retriever(again, MiniLMEmbedder())
    assert str(directory) not in str(again.configuration_json)


def test_vectors_of_shortened_texts_warn(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    """As another tool writes them that reads only the first 128 tokens."""
    texts = [" ".join(TOPICS[number:] + TOPICS[:number]) + " Also: " + TOPICS[number] * 20 for number in range(8)]
    shortened = MiniLMEmbedder(max_seq_length=24, on_truncate="ignore").encode(texts)
    collection = fill(local_client(tmp_path), "docs", shortened, documents=texts)
    with pytest.warns(DifferingVectorsWarning, match="another truncation"):
        Retriever(collection, embedder)


def test_nodes_of_llama_index_are_compared_with_the_text_that_was_embedded(
    tmp_path: Path, embedder: MiniLMEmbedder
) -> None:
    """Its vectors stand for the text with metadata lines before it."""
    node = json.dumps({"metadata": {"file_path": "/a/b/c.txt", "page": 3}})
    metadatas: list[dict[str, Any]] = [{"_node_content": node, "page": 3} for _ in TOPICS]
    prefixed = embedder.encode([f"file_path: /a/b/c.txt\npage: 3\n\n{text}" for text in TOPICS])
    collection = fill(local_client(tmp_path), "docs", prefixed, documents=TOPICS, metadatas=metadatas)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Retriever(collection, embedder).search("cat", k=1)
    other = fill(local_client(tmp_path), "other", random_vectors(len(TOPICS)), documents=TOPICS, metadatas=metadatas)
    with pytest.raises(CollectionMismatchError, match="embedded by another model"):
        Retriever(other, embedder)


def test_same_vectors_without_any_record_are_accepted(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection = fill(local_client(tmp_path), "docs", embedder.encode(TOPICS), documents=TOPICS, space="l2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = check_collection(collection, embedder)
    assert (facts.space, facts.unit) == ("l2", True)


def test_records_without_documents_are_checked_by_dimension_alone(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection = fill(local_client(tmp_path), "docs", random_vectors(5))
    assert check_collection(collection, embedder).unit


def test_vectors_that_are_not_unit_are_noticed(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    scaled = embedder.encode(TOPICS) * np.linspace(1, 4, 10, dtype=np.float32)[:, None]
    collection = fill(local_client(tmp_path), "docs", scaled, documents=TOPICS, space="ip")
    assert not check_collection(collection, embedder).unit


@pytest.mark.parametrize(
    ("recorded", "refused"),
    [
        ("text-embedding-3-small", True),
        ("paraphrase-MiniLM-L6-v2", True),
        ("all-MiniLM-L12-v2", True),
        ("all-minilm:l12", True),
        ("sentence-transformers/all-MiniLM-L6-v2", False),
        ("/models/all-MiniLM-L6-v2", False),
        ("Xenova/all-MiniLM-L6-v2", False),
        ("all-minilm", False),
        (None, False),
    ],
)
@pytest.mark.filterwarnings("ignore:Could not reconstruct embedding function")
@pytest.mark.parametrize("count", [0, 5])
def test_where_no_text_tells_the_record_does(
    tmp_path: Path, embedder: MiniLMEmbedder, recorded: str | None, refused: bool, count: int
) -> None:
    function = RecordedFunction(StoredFunction("sentence_transformer", {"model_name": recorded}))
    collection = fill(local_client(tmp_path), "docs", random_vectors(count), function=function)
    if not refused:
        assert check_collection(collection, embedder).empty == (count == 0)
        return
    with pytest.raises(CollectionMismatchError, match=f"'docs' is one of the model '{recorded}'"):
        check_collection(collection, embedder)
    with pytest.raises(CollectionMismatchError):
        index_documents(collection, [Document("a", "a text")], embedder)
    assert collection.count() == count


def test_empty_collection_is_accepted(embedder: MiniLMEmbedder) -> None:
    collection = chromadb.EphemeralClient().create_collection("empty-one", embedding_function=None)
    assert Retriever(collection, embedder).search("anything") == []
