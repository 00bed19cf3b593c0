"""Reading page by page while others delete: nothing that stays is skipped, and nothing comes twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import chromadb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import fill, random_vectors

from minilm_retrieval import MiniLMEmbedder, Retriever
from minilm_retrieval.errors import StoreError
from minilm_retrieval.store import ranking
from minilm_retrieval.store.paging import pages, read_pages

COUNT = 40
IDS = [f"id-{number:05}" for number in range(COUNT)]


def collection_of(count: int = COUNT) -> Any:
    return fill(chromadb.EphemeralClient(), f"docs-{uuid.uuid4()}", random_vectors(count, 8))


@given(
    size=st.integers(1, 12),
    deletions=st.dictionaries(st.integers(0, 10), st.sets(st.sampled_from(IDS), max_size=15), max_size=4),
)
def test_what_stays_comes_once(size: int, deletions: dict[int, set[str]]) -> None:
    collection = collection_of()
    read: list[str] = []
    gone: set[str] = set()
    for number, (ids, vectors) in enumerate(pages(collection, size)):
        assert 0 < len(ids) == len(vectors) <= size + 1
        read += ids
        if going := sorted(deletions.get(number, set()) - gone):
            collection.delete(ids=going)
            gone |= set(going)
    assert len(read) == len(set(read))
    assert set(IDS) - gone <= set(read)


def test_every_column_belongs_to_its_record() -> None:
    collection = collection_of()
    expected = dict(zip(IDS, random_vectors(COUNT, 8), strict=True))
    for page in read_pages(collection, 7, include=["embeddings", "metadatas", "documents"]):
        assert len(page["ids"]) == len(page["documents"] or []) == len(page["metadatas"] or [])
        for id, vector in zip(page["ids"], page["embeddings"], strict=True):
            np.testing.assert_allclose(vector, expected[id], atol=1e-6)


def test_added_records_are_read_too() -> None:
    collection = collection_of()
    read: list[str] = []
    for number, (ids, _) in enumerate(pages(collection, 10)):
        read += ids
        if number == 1:
            collection.delete(ids=IDS[:5])
            collection.add(ids=["new-1", "new-2"], embeddings=random_vectors(2, 8))
    assert read == [*IDS, "new-1", "new-2"]


def test_a_collection_emptied_meanwhile_ends_there() -> None:
    collection = collection_of()
    reading = pages(collection, 10)
    next(reading)
    collection.delete(ids=IDS)
    assert list(reading) == []


@pytest.mark.parametrize("deleted", [slice(0, 230), slice(5, 200), slice(-30, None), slice(0, -34)], ids=str)
def test_many_deletions_between_two_pages(deleted: slice) -> None:
    collection = collection_of(400)
    reading = pages(collection, 2)
    read = [id for _ in range(150) for id in next(reading)[0]]
    collection.delete(ids=read[deleted])
    read += [id for ids, _ in reading for id in ids]
    assert len(read) == len(set(read)) == 400


def test_more_deletions_than_can_be_followed_are_an_error() -> None:
    collection = collection_of(400)
    reading = pages(collection, 2)
    read = [id for _ in range(150) for id in next(reading)[0]]
    collection.delete(ids=read[-250:])
    with pytest.raises(StoreError, match=r"Try again\.$"):
        list(reading)


def test_an_exact_search_loses_no_neighbour_to_deletions(
    embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = random_vectors(3000)
    vectors[1500] = embedder.encode("a cup of tea")
    collection = fill(chromadb.EphemeralClient(), f"docs-{uuid.uuid4()}", vectors)
    read: Callable[..., Any] = ranking.pages

    def with_deletions(*arguments: Any) -> Any:
        for number, page in enumerate(read(*arguments)):
            yield page
            if number == 0:
                collection.delete(ids=[f"id-{number:05}" for number in range(600)])

    monkeypatch.setattr(ranking, "pages", with_deletions)
    assert Retriever(collection, embedder).search("a cup of tea", k=1, exact=True)[0].id == "id-01500"
