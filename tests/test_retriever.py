from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import TOPICS, chroma_server, fill, local_client, random_vectors

from minilm_retrieval import Hit, MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    InvalidFilterError,
    InvalidOptionError,
    InvalidTextError,
)
from minilm_retrieval.similarity import cosine_similarity, rank

QUERY = "a pet that likes to sleep"


@pytest.fixture(params=["cosine", "l2", "ip"])
def space(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


def brute_force(query: Any, vectors: Any, k: int) -> list[tuple[str, float]]:
    ids = [f"id-{number:05}" for number in range(len(vectors))]
    scores = cosine_similarity(query, vectors)
    return [(ids[row], float(scores[row])) for row in rank(scores, ids)[:k]]


@pytest.mark.parametrize("exact", [True, False, "auto"])
def test_score_is_the_cosine_in_every_space(client: Any, embedder: MiniLMEmbedder, space: str, exact: Any) -> None:
    vectors = embedder.encode(TOPICS)
    metadatas = [{"number": number} for number in range(10)]
    collection = fill(client, "docs", vectors, space=space, documents=TOPICS, metadatas=metadatas)
    hits = Retriever(collection, embedder).search(QUERY, k=4, exact=exact)
    # In a cosine collection Chroma normalises what it stores, unit vectors too, which rounds some in the last place.
    stored = collection.get(ids=[f"id-{number:05}" for number in range(10)], include=["embeddings"])["embeddings"]
    assert np.abs(stored - vectors).max() <= 1e-7
    assert [(hit.id, hit.score) for hit in hits] == brute_force(embedder.encode(QUERY), stored, 4)
    assert hits[0] == Hit("id-00000", hits[0].score, TOPICS[0], {"number": 0})


@pytest.mark.parametrize("exact", [True, False, "auto"])
def test_score_is_the_cosine_of_vectors_that_are_not_unit(
    client: Any, embedder: MiniLMEmbedder, space: str, exact: Any
) -> None:
    vectors = embedder.encode(TOPICS) * np.linspace(0.2, 30, 10, dtype=np.float32)[:, None]
    collection = fill(client, "docs", vectors, space=space, documents=TOPICS)
    hits = Retriever(collection, embedder).search(QUERY, k=10, exact=exact)
    assert [(hit.id, pytest.approx(hit.score, abs=1e-6)) for hit in hits] == brute_force(
        embedder.encode(QUERY), vectors, 10
    )


def test_lengths_that_the_sample_misses_do_not_hide_neighbours(client: Any, embedder: MiniLMEmbedder) -> None:
    vectors = random_vectors(3000)
    query = embedder.encode(QUERY)
    vectors[500:520] *= 50
    vectors[1500] = query * 0.01
    collection = fill(client, "docs", vectors, space="ip")
    hits = Retriever(collection, embedder).search(QUERY, k=3)
    assert hits[0].id == "id-01500"
    assert [(hit.id, hit.score) for hit in hits] == brute_force(query, vectors, 3)


@pytest.mark.parametrize("length", [1e-4, 0.5, 0.9992, 1.0008, 3.0, 500.0])
def test_a_vector_of_another_length_added_later_is_found(
    client: Any, embedder: MiniLMEmbedder, space: str, length: float
) -> None:
    query = embedder.encode(QUERY)
    near = random_vectors(50) * 0.03 + query
    collection = fill(client, "docs", near / np.linalg.norm(near, axis=1, keepdims=True), space=space)
    retriever = Retriever(collection, embedder)
    retriever.search(QUERY)
    collection.add(ids=["best"], embeddings=[query * np.float32(length)], metadatas=[{"late": True}])
    for options in ({}, {"exact": True}, {"where": {"late": True}}):
        assert retriever.search(QUERY, k=1, **options)[0].id == "best"  # type: ignore[arg-type]


def test_a_collection_filled_later_is_checked_then(client: Any, embedder: MiniLMEmbedder) -> None:
    for number, vectors in enumerate((random_vectors(5, 3), random_vectors(10))):
        name = f"docs-{number}"
        collection = client.create_collection(name, embedding_function=None)
        retriever = Retriever(collection, embedder)
        assert retriever.search(QUERY) == []
        collection.add(
            ids=[str(row) for row in range(len(vectors))], embeddings=vectors, documents=TOPICS[: len(vectors)]
        )
        for options in ({}, {"exact": True}):
            with pytest.raises(CollectionMismatchError, match=name):
                retriever.search(QUERY, **options)  # type: ignore[arg-type]


def test_a_collection_deleted_since_is_said(client: Any, embedder: MiniLMEmbedder) -> None:
    retriever = Retriever(fill(client, "docs", embedder.encode(TOPICS)), embedder)
    client.delete_collection("docs")
    with pytest.raises(CollectionNotFoundError, match="Open it again"):
        retriever.search(QUERY)


def test_small_and_filtered_searches_lose_no_neighbour(client: Any, embedder: MiniLMEmbedder) -> None:
    """A few matching records far from the query, among thousands that the index would rather visit."""
    query = embedder.encode(QUERY)
    near = random_vectors(4000, seed=1) * 0.5 + query
    far = random_vectors(40, seed=2) - query
    vectors = np.concatenate([near, far])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    metadatas = [{"kind": "near"}] * 4000 + [{"kind": "far"}] * 40
    collection = fill(client, "docs", vectors, metadatas=metadatas)
    hits = Retriever(collection, embedder).search(QUERY, k=40, where={"kind": "far"})
    order = brute_force(query, vectors, len(vectors))
    assert [(hit.id, hit.score) for hit in hits] == [(id, score) for id, score in order if int(id[3:]) >= 4000]


def test_index_and_scan_agree_above_the_threshold(client: Any, embedder: MiniLMEmbedder) -> None:
    texts = [f"{text} Case {number}." for number in range(30) for text in TOPICS]
    collection = fill(client, "docs", embedder.encode(texts), documents=texts)
    retriever = Retriever(collection, embedder, exact_below=10)
    for query in (QUERY, "finance", "cooking"):
        assert retriever.search(query, k=5) == retriever.search(query, k=5, exact=True)


@pytest.mark.parametrize("exact_below", [0, 1000])
def test_ties_are_broken_by_id(client: Any, embedder: MiniLMEmbedder, exact_below: int) -> None:
    """More equal records than the index returns, written in an order that is not theirs."""
    vectors = np.tile(embedder.encode("the same text"), (200, 1))
    ids = [f"id-{(number * 77) % 200:05}" for number in range(200)]
    collection = fill(client, "docs", vectors, ids=ids, documents=["the same text"] * 200)
    hits = Retriever(collection, embedder, exact_below=exact_below).search("the same text", k=7)
    assert [hit.id for hit in hits] == [f"id-{number:05}" for number in range(7)]
    assert len({hit.score for hit in hits}) == 1


def test_k_min_score_and_filters(client: Any, embedder: MiniLMEmbedder) -> None:
    metadatas = [{"number": number, "even": number % 2 == 0} for number in range(10)]
    collection = fill(client, "docs", embedder.encode(TOPICS), documents=TOPICS, metadatas=metadatas)
    retriever = Retriever(collection, embedder)
    assert len(retriever.search(QUERY, k=1000)) == 10
    assert len(retriever.search(QUERY, k=1000, exact=False)) == 10
    assert {hit.id for hit in retriever.search(QUERY, where={"even": True})} == {f"id-{n:05}" for n in (0, 2, 4, 6, 8)}
    both = {"$and": [{"even": True}, {"number": {"$gt": 4}}]}
    for exact in (True, False, "auto"):
        assert {hit.metadata["number"] for hit in retriever.search(QUERY, where=both, exact=exact)} == {6, 8}
    assert [hit.id for hit in retriever.search(QUERY, where_document={"$contains": "Mars"})] == ["id-00008"]
    assert retriever.search(QUERY, where={}, where_document={}) == retriever.search(QUERY)
    best = retriever.search(QUERY)[0].score
    assert [hit.score for hit in retriever.search(QUERY, min_score=best)] == [best]
    assert retriever.search(QUERY, min_score=1.0) == []
    assert retriever.search(QUERY, where={"number": 99}) == []


def test_records_without_text_or_metadata(client: Any, embedder: MiniLMEmbedder) -> None:
    collection = fill(client, "docs", random_vectors(3))
    for exact in (True, False):
        hit = Retriever(collection, embedder).search(QUERY, k=1, exact=exact)[0]
        assert (hit.document, hit.metadata) == (None, {})


def test_search_many_is_one_embedding_pass(client: Any, embedder: MiniLMEmbedder, monkeypatch: Any) -> None:
    collection = fill(client, "docs", embedder.encode(TOPICS), documents=TOPICS)
    retriever = Retriever(collection, embedder)
    alone = [retriever.search(query, k=3) for query in TOPICS]
    calls: list[Any] = []
    encode = embedder.encode
    monkeypatch.setattr(embedder, "encode", lambda texts: calls.append(texts) or encode(texts))
    together = retriever.search_many(TOPICS, k=3)
    assert calls == [TOPICS]
    for one, many in zip(alone, together, strict=True):
        assert [hit.id for hit in one] == [hit.id for hit in many]
        assert [hit.score for hit in many] == pytest.approx([hit.score for hit in one], abs=1e-6)
    assert retriever.search_many([]) == []


async def test_asearch_leaves_the_event_loop_free(client: Any, embedder: MiniLMEmbedder, monkeypatch: Any) -> None:
    collection = fill(client, "docs", embedder.encode(TOPICS), documents=TOPICS)
    retriever = Retriever(collection, embedder)
    expected = retriever.search(QUERY, k=2)
    loop_ran = asyncio.Event()
    encode = embedder.encode

    def slow_encode(texts: Any) -> Any:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0, loop_ran.set()), loop).result(timeout=10)
        return encode(texts)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(embedder, "encode", slow_encode)
    assert await retriever.asearch(QUERY, k=2) == expected
    assert await retriever.asearch_many([QUERY], k=2) == [expected]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, InvalidOptionError, "k must be a whole number of at least 1, got 0"),
        ({"k": True}, InvalidOptionError, "got True"),
        ({"min_score": 1.5}, InvalidOptionError, "between -1 and 1, got 1.5"),
        ({"min_score": "0.5"}, InvalidOptionError, "between -1 and 1, got '0.5'"),
        ({"exact": "yes"}, InvalidOptionError, "expected True, False or 'auto'"),
        ({"exact": 1}, InvalidOptionError, "expected True, False or 'auto'"),
        ({"where": {"$bad": 1}}, InvalidFilterError, "refused the filter"),
        ({"where": []}, InvalidFilterError, "where is a mapping"),
        ({"where_document": {"$regex": "("}}, InvalidFilterError, "refused the filter"),
        ({"where_document": ""}, InvalidFilterError, "where_document is a mapping"),
        ({"query": 5}, InvalidTextError, "got int"),
    ],
)
def test_wrong_arguments(client: Any, embedder: MiniLMEmbedder, arguments: Any, error: Any, message: str) -> None:
    collection = fill(client, "docs", embedder.encode(TOPICS), documents=TOPICS)
    with pytest.raises(error, match=message):
        Retriever(collection, embedder).search(**{"query": QUERY, **arguments})


@pytest.mark.parametrize("exact", [True, False, "auto"])
def test_filters_that_a_server_cannot_be_sent_are_refused_as_such(
    behind: int, embedder: MiniLMEmbedder, exact: Any
) -> None:
    collection = open_collection("refusing", host="localhost", port=behind, create=True)
    collection.upsert(ids=["a"], documents=["a text"])
    retriever = Retriever(collection, embedder)
    for where in ({"a": 10**30}, {"a": "\ud800"}):
        with pytest.raises(InvalidFilterError, match="refused the filter"):
            retriever.search(QUERY, where=where, exact=exact)


def test_options_of_numpy_are_options(client: Any, embedder: MiniLMEmbedder) -> None:
    retriever = Retriever(fill(client, "docs", embedder.encode(TOPICS), documents=TOPICS), embedder)
    assert len(retriever.search(QUERY, k=np.int64(3), exact=np.True_)) == 3  # type: ignore[arg-type]


def test_query_vectors_of_any_length_and_wrong_ones(client: Any, embedder: MiniLMEmbedder, space: str) -> None:
    collection = fill(client, "docs", embedder.encode(TOPICS), space=space, documents=TOPICS)
    retriever = Retriever(collection, embedder)
    expected = retriever.search(QUERY, k=3)
    for exact in (True, False, "auto"):
        found = retriever.search_vectors(embedder.encode(QUERY).astype(float) * 9, k=3, exact=exact)[0]  # type: ignore[arg-type]
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-6)
    for scale in (1e30, 1e-30):
        found = retriever.search_vectors(embedder.encode(QUERY) * scale, k=3)[0]
        assert [hit.id for hit in found] == [hit.id for hit in expected]
    assert retriever.search_vectors([]) == retriever.search_vectors(embedder.encode([])) == []
    for wrong in ([1.0, 2.0], [[0.0] * 384], [[float("nan")] * 384], [[1.0], [1.0, 2.0]], ["text"], [[1j] * 384]):
        with pytest.raises(InvalidOptionError, match="query vector"):
            retriever.search_vectors(wrong)


def test_search_many_refuses_one_string_and_a_table(client: Any, embedder: MiniLMEmbedder) -> None:
    collection = fill(client, "docs", embedder.encode(TOPICS), documents=TOPICS)
    retriever = Retriever(collection, embedder)
    with pytest.raises(InvalidTextError, match="Expected a list of texts"):
        retriever.search_many(QUERY)
    with pytest.raises(InvalidTextError, match="got ndarray of 2 dimensions"):
        retriever.search_many(np.array([[QUERY, QUERY]]))  # type: ignore[arg-type]


def test_exact_scan_needs_memory_for_a_page_only(client: Any, embedder: MiniLMEmbedder) -> None:
    def peak(count: int) -> int:
        retriever = Retriever(fill(client, f"docs-{count}", random_vectors(count)), embedder)
        retriever.search(QUERY, k=5, exact=True)
        tracemalloc.start()
        retriever.search(QUERY, k=5, exact=True)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(6_000) < 1.2 * peak(2_000)


def test_real_server_gives_what_the_embedded_store_gives(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    vectors = list(embedder.encode(TOPICS))
    ids = [str(number) for number in range(10)]
    local = open_collection("docs", path=tmp_path / "local", create=True)
    local.add(ids=ids, embeddings=vectors, documents=TOPICS)
    with chroma_server(tmp_path / "remote") as port:
        remote = open_collection("docs", host="127.0.0.1", port=port, create=True)
        remote.add(ids=ids, embeddings=vectors, documents=TOPICS)
        for exact in (True, False, "auto"):
            found = Retriever(open_collection("docs", host="127.0.0.1", port=port), embedder).search(
                QUERY,
                k=5,
                exact=exact,
            )
            assert found == Retriever(local, embedder).search(QUERY, k=5)
        assert remote.query(query_texts=[TOPICS[4]], n_results=1)["ids"] == [["4"]]
