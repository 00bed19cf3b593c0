"""What list_collections and describe_collection say."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from indexed import SOURCES, indexed_collection
from small_models import SmallModel
from stores import TOPICS, chroma_server, fill, local_client, random_vectors

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import StoreError, StoreUnavailableError
from minilm_retrieval.maintenance import CollectionSummary, describe_collection, list_collections
from minilm_retrieval.maintenance.recorded_function import RecordedFunction
from minilm_retrieval.store import connect
from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction
from minilm_retrieval.store.stored_function import StoredFunction


def test_list(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    client = local_client(tmp_path)
    fill(client, "zoo", random_vectors(3, dimension=8), space="ip")
    indexed_collection(tmp_path, embedder)
    client.create_collection("made-by-chroma")
    client.create_collection("empty", embedding_function=MiniLMEmbeddingFunction(precision="int8"))
    computed = fake_engine.rows
    ours = {"function": "minilm_retrieval", "fingerprint": embedder.fingerprint}
    assert list_collections(client) == [
        CollectionSummary(name="docs", count=10, dimension=384, space="cosine", precision="float32", **ours),
        CollectionSummary(name="empty", count=0, space="cosine", precision="int8", **ours),
        CollectionSummary(name="made-by-chroma", count=0, space="l2", function="default"),
        CollectionSummary(name="zoo", count=3, dimension=8, space="ip"),
    ]
    assert fake_engine.rows == computed


def test_no_collections(tmp_path: Path) -> None:
    assert list_collections(local_client(tmp_path)) == []


def test_a_collection_that_cannot_be_opened_does_not_hide_the_others(tmp_path: Path) -> None:
    client = local_client(tmp_path / "store")
    for name in ("first", "second", "third"):
        fill(client, name, random_vectors(2, dimension=8))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / "chroma.sqlite3") as database:
        database.execute("update collections set schema_str = '{' where name = 'second'")
    broken, first, third = list_collections(local_client(tmp_path / "copy"))
    assert (first.name, first.count, third.name, third.count) == ("first", 2, "third", 2)
    assert broken.name.startswith("(collection ")
    assert broken.count is None
    assert "deserialize schema" in str(broken.error)


def test_a_store_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    fill(local_client(tmp_path / "store"), "first", random_vectors(2, dimension=8))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    client = local_client(tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / "chroma.sqlite3") as database:
        database.execute("drop table collections")
    with pytest.raises(StoreError, match="no such table"):
        list_collections(client)


def test_more_broken_collections_than_sound_ones(tmp_path: Path) -> None:
    client = local_client(tmp_path / "store")
    for number in range(30):
        client.create_collection(f"number-{number}", embedding_function=None)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / "chroma.sqlite3") as database:
        database.execute("update collections set schema_str = '{' where name != 'number-7'")
    found = list_collections(local_client(tmp_path / "copy"))
    assert len(found) == 30
    assert [summary.name for summary in found if summary.error is None] == ["number-7"]


def test_an_index_is_not_loaded(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    fill(local_client(tmp_path / "store"), "damaged", random_vectors(1001), documents=["text"] * 1001)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    for folder in (tmp_path / "copy").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    client = local_client(tmp_path / "copy")
    (summary,) = list_collections(client)
    assert (summary.count, summary.dimension, summary.error) == (1001, 384, None)
    described = describe_collection(client.get_collection("damaged", embedding_function=None), embedder)
    assert (described.texts, described.dimension, described.error) == (1001, 384, None)


def test_an_index_that_keeps_records_from_being_counted(tmp_path: Path) -> None:
    client = local_client(tmp_path / "store")
    fill(client, "damaged", random_vectors(1001, dimension=8))
    fill(client, "sound", random_vectors(2, dimension=8))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    for header in (tmp_path / "copy").glob("*/header.bin"):
        header.write_bytes(bytes(100))
    damaged, sound = list_collections(local_client(tmp_path / "copy"))
    assert (damaged.count, damaged.dimension, sound.count) == (None, 8, 2)
    assert "counting records" in str(damaged.error)


def test_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with chroma_server(tmp_path) as port:
        client = connect(host="127.0.0.1", port=port, retry_for=0)
        collection = fill(client, "remote", random_vectors(3, dimension=8))
        assert [(found.name, found.count, found.dimension) for found in list_collections(client)] == [("remote", 3, 8)]
    asked = []
    lists = client.list_collections
    monkeypatch.setattr(client, "list_collections", lambda **options: (asked.append(1), lists(**options))[1])
    with pytest.raises(StoreUnavailableError):
        list_collections(client)
    assert asked == [1]
    monkeypatch.setattr(client, "list_collections", lambda: [collection, collection])
    with pytest.raises(StoreUnavailableError):
        list_collections(client)


def test_describe(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    exact, longer = "word " * 254, "word " * 255
    collection, _ = indexed_collection(tmp_path, embedder, {**SOURCES, "long": [exact, longer]})
    collection.modify(metadata={"minilm_passage_tokens": 200, "minilm_passage_overlap": 20})
    collection.add(ids=["x", "y"], embeddings=list(random_vectors(2)), documents=["A text.", None])  # type: ignore[list-item]
    computed = fake_engine.rows
    found = describe_collection(collection, embedder)
    assert (found.name, found.count, found.dimension, found.error) == ("docs", 14, 384, None)
    assert found.sources == {**dict.fromkeys(sorted(SOURCES), 2), "long": 2} == dict(sorted(found.sources.items()))
    assert (found.passages, found.other_records) == (12, 2)
    assert (found.texts, found.without_text) == (13, 1)
    assert (found.max_seq_length, found.truncated, found.max_tokens) == (256, 1, 257)
    assert found.mean_tokens == pytest.approx(sum(embedder.count_tokens([*TOPICS, exact, longer, "A text."])) / 13)
    assert (found.passage_tokens, found.passage_overlap) == (200, 20)
    assert fake_engine.rows == computed


def test_describe_other_tools(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    node = json.dumps({"metadata": {"title": "Tea " * 300}, "excluded_embed_metadata_keys": []})
    metadatas: list[dict[str, Any]] = [{"_node_content": node, "source": "a"}, *({"source": "b"} for _ in TOPICS[1:])]
    collection = fill(local_client(tmp_path), "other", random_vectors(10), documents=TOPICS, metadatas=metadatas)
    found = describe_collection(collection)
    # LlamaIndex embeds the title with the text.
    assert (found.truncated, found.passages, found.other_records, found.sources) == (1, 0, 10, {})
    assert (found.passage_tokens, found.passage_overlap, found.fingerprint) == (None, None, None)


def test_describe_counts_against_the_recorded_length(
    tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder
) -> None:
    short = MiniLMEmbedder(max_seq_length=11, on_truncate="ignore")
    collection, _ = indexed_collection(tmp_path, short)
    found = describe_collection(collection, embedder)
    assert found.max_seq_length == 11
    assert found.truncated == sum(tokens > 11 for tokens in embedder.count_tokens(TOPICS)) > 0


def test_describe_counts_no_tokens_of_another_model(
    tmp_path: Path, embedder: MiniLMEmbedder, small_model: SmallModel
) -> None:
    small = MiniLMEmbedder(small_model.write())
    collection, _ = indexed_collection(tmp_path / "chroma", small)
    found = describe_collection(collection, embedder)
    assert (found.truncated, found.max_tokens, found.mean_tokens) == (None, None, None)
    assert found.texts == 10
    own = describe_collection(collection, small)
    assert (own.truncated, own.max_seq_length, own.max_tokens) == (0, 64, max(embedder.count_tokens(TOPICS)))


@pytest.mark.parametrize(
    ("recorded", "truncated"), [("BAAI/bge-small-en-v1.5", None), ("all-MiniLM-L6-v2", 0), (None, 0)]
)
def test_describe_counts_no_tokens_where_another_model_is_recorded(
    tmp_path: Path, embedder: MiniLMEmbedder, recorded: str | None, truncated: int | None
) -> None:
    function = RecordedFunction(StoredFunction("sentence_transformer", {"model_name": recorded} if recorded else {}))
    collection = local_client(tmp_path).create_collection("other", embedding_function=function)
    collection.add(ids=["a", "b"], embeddings=list(random_vectors(2)), documents=TOPICS[:2])
    found = describe_collection(collection, embedder)
    assert (found.texts, found.truncated) == (2, truncated)
    assert (found.max_tokens is None) == (truncated is None)


def test_describe_an_empty_collection(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    found = describe_collection(indexed_collection(tmp_path, embedder, {})[0], embedder)
    assert (found.count, found.texts, found.truncated, found.max_tokens, found.mean_tokens) == (0, 0, 0, None, None)
