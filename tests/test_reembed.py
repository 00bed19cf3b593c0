from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from stores import TOPICS, chroma_server, fill, local_client, random_vectors
from subprocesses import run_python

from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.errors import DocumentError, InvalidOptionError, StoreError, TextTooLongError, TruncationWarning
from minilm_retrieval.maintenance import reembed_collection
from minilm_retrieval.store.collection import space_of
from minilm_retrieval.store.stored_function import stored_function

LONG = "word " * 300


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


def rows(collection: Any) -> Any:
    return np.asarray(collection.get(include=["embeddings"])["embeddings"], dtype=np.float32)


def test_a_collection_of_another_model_can_be_searched_afterwards(client: Any, embedder: MiniLMEmbedder) -> None:
    metadatas: list[Any] = [{"number": number} for number in range(len(TOPICS))]
    fill(client, "docs", random_vectors(10, 768), documents=TOPICS, space="l2", metadatas=metadatas)
    report = reembed_collection(client, "docs", embedder)
    assert (report.records, report.embedded, report.resumed, report.truncated) == (10, 10, 0, 0)
    collection = open_collection("docs", client=client)
    assert space_of(collection) == "l2"
    assert stored_function(collection).fingerprint == embedder.fingerprint
    np.testing.assert_allclose(rows(collection), embedder.encode(TOPICS), atol=1e-5)
    hit = Retriever(collection, embedder).search("a rover on the red planet", k=1)[0]
    assert (hit.document, hit.metadata) == (TOPICS[8], {"number": 8})


def test_another_precision_and_space_are_recorded(client: Any, embedder: MiniLMEmbedder) -> None:
    fill(client, "docs", random_vectors(10), documents=TOPICS)
    reembed_collection(client, "docs", MiniLMEmbedder(precision="int8"), space="ip", keep=True)
    collection = open_collection("docs", client=client)
    assert stored_function(collection).config["precision"] == "int8"
    assert space_of(collection) == "ip"
    np.testing.assert_array_equal(rows(client.get_collection("docs.before")).shape, (10, 384))
    cosines = (rows(collection) * embedder.encode(TOPICS)).sum(axis=1)
    assert 0.98 < cosines.min() < 0.99999


def test_another_model(client: Any, small_model: Any, embedder: MiniLMEmbedder) -> None:
    fill(client, "docs", random_vectors(10), documents=TOPICS)
    reembed_collection(client, "docs", embedder)
    other = MiniLMEmbedder(small_model.write())
    reembed_collection(client, "docs", other)
    collection = open_collection("docs", client=client)
    assert rows(collection).shape == (10, 32)
    assert stored_function(collection).fingerprint == other.fingerprint
    assert Retriever(collection, other).search(TOPICS[3], k=1)[0].document == TOPICS[3]


def test_nothing_is_done_where_nothing_would_change(client: Any, fake_engine: Any) -> None:
    fill(client, "docs", random_vectors(10), documents=TOPICS)
    reembed_collection(client, "docs")
    identity = client.get_collection("docs").id
    again = reembed_collection(client, "docs", space="cosine")
    assert (again.records, again.embedded, again.up_to_date) == (10, 0, True)
    assert client.get_collection("docs").id == identity
    assert fake_engine.rows == 10
    for changed in ({"space": "l2"}, {"force": True}, {"embedder": MiniLMEmbedder(max_seq_length=128)}):
        report = reembed_collection(client, "docs", **changed)
        assert (report.embedded, report.up_to_date) == (10, False)


def test_the_text_that_a_vector_stands_for_is_embedded(client: Any, embedder: MiniLMEmbedder) -> None:
    """LlamaIndex embeds lines of metadata with the text."""
    node = {"_node_content": '{"metadata": {"title": "Tea"}}'}
    fill(client, "docs", random_vectors(2), documents=["Steep it.", ""], metadatas=[node, {"a": 1}])
    reembed_collection(client, "docs", embedder)
    np.testing.assert_allclose(
        rows(client.get_collection("docs")), embedder.encode(["title: Tea\n\nSteep it.", ""]), atol=1e-5
    )


def test_records_without_text_are_refused_before_anything_is_written(client: Any, fake_engine: Any) -> None:
    collection = fill(client, "docs", random_vectors(10), documents=TOPICS)
    collection.add(ids=[f"bare-{number}" for number in range(7)], embeddings=random_vectors(7))
    with pytest.raises(DocumentError, match=r"7 of 17 records of 'docs' have no text.*'bare-0'.* and others"):
        reembed_collection(client, "docs")
    assert [found.name for found in client.list_collections()] == ["docs"]
    assert fake_engine.rows == 0


def test_long_texts_are_counted_and_treated_as_the_embedder_says(client: Any, fake_engine: Any) -> None:
    fill(client, "docs", random_vectors(3), documents=["short", LONG, LONG])
    with pytest.raises(TextTooLongError, match="2 of 3 texts"):
        reembed_collection(client, "docs", MiniLMEmbedder(on_truncate="error"))
    assert [found.name for found in client.list_collections()] == ["docs"]
    with pytest.warns(TruncationWarning):
        assert reembed_collection(client, "docs", MiniLMEmbedder()).truncated == 2
    assert reembed_collection(client, "docs", MiniLMEmbedder(on_truncate="ignore"), force=True).truncated == 2


def fill_elsewhere(directory: Path) -> Path:
    """Make a collection in a process of its own, and return the folder of its index."""
    script = f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        from stores import *
        fill(local_client(Path(sys.argv[1])), "docs", random_vectors(1200), documents=[str(n) for n in range(1200)])
    """
    run_python(script, str(directory))
    return next(directory.glob("*/header.bin")).parent


def test_a_lost_index_is_made_anew_from_the_texts(tmp_path: Path, fake_engine: Any) -> None:
    index = fill_elsewhere(tmp_path)
    (index / "header.bin").unlink()
    client = local_client(tmp_path)
    with pytest.raises(StoreError, match=f"move the folder {index} out of it"):
        reembed_collection(client, "docs")
    shutil.rmtree(index)
    assert reembed_collection(client, "docs").embedded == 1200
    collection = open_collection("docs", client=client)
    assert collection.count() == len(rows(collection)) == 1200
    hit = Retriever(collection).search("777", k=1)[0]
    assert (hit.id, round(hit.score, 4)) == ("id-00777", 1.0)


def test_an_empty_collection(client: Any, fake_engine: Any) -> None:
    client.create_collection("docs", embedding_function=None, metadata={"owner": "me"})
    assert reembed_collection(client, "docs").records == 0
    collection = open_collection("docs", client=client)
    assert collection.metadata == {"owner": "me"}
    assert stored_function(collection).name == "minilm_retrieval"


def test_wrong_space(client: Any) -> None:
    with pytest.raises(InvalidOptionError, match="expected one of cosine, l2, ip"):
        reembed_collection(client, "docs", space="euclid")


def test_on_a_server(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    with chroma_server(tmp_path) as port:
        client = chromadb.HttpClient(port=port)
        fill(client, "docs", random_vectors(10, 16), documents=TOPICS)
        assert reembed_collection(client, "docs", embedder, space="l2").embedded == 10
        collection = open_collection("docs", client=client)
        assert Retriever(collection, embedder).search(TOPICS[2], k=1)[0].document == TOPICS[2]
        assert [found.name for found in client.list_collections()] == ["docs"]
