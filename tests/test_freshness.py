"""A process that has a directory open, and another that writes there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stores import TOPICS
from subprocesses import run_python

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.maintenance import verify_collection
from minilm_retrieval.store import freshness
from minilm_retrieval.store.client import StaleIndexError, store_errors
from minilm_retrieval.store.freshness import read_freshly
from minilm_retrieval.store.retriever import EXACT_BELOW

Search = Callable[[Retriever, str], list[str]]
OTHER = """
import sys
from minilm_retrieval import Document, index_documents, open_collection
for path in sys.argv[2:]:
    collection = open_collection("docs", path=path)
    if sys.argv[1] == "delete":
        collection.delete(ids=collection.get(limit=5, include=[])["ids"])
    else:
        index_documents(collection, [Document("new", "a cup of green tea")])
"""
WAYS: dict[str, Search] = {
    "auto": lambda retriever, query: [hit.document or "" for hit in retriever.search(query, k=3)],
    "exact": lambda retriever, query: [hit.document or "" for hit in retriever.search(query, k=3, exact=True)],
    "approximate": lambda retriever, query: [hit.document or "" for hit in retriever.search(query, k=3, exact=False)],
    "filtered": lambda retriever, query: [
        hit.document or "" for hit in retriever.search(query, k=3, where_document={"$not_contains": "nothing such"})
    ],
    "many": lambda retriever, query: [hit.document or "" for hit in retriever.search_many([query] * 12, k=3)[4]],
}


def made(path: Path) -> Any:
    collection = open_collection("docs", path=path, create=True)
    index_documents(collection, [Document(f"topic-{number}", text) for number, text in enumerate(TOPICS)])
    return collection


def test_what_another_process_adds_and_deletes_is_found(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    # Each with a directory of its own, since one search that notices would help the others.
    cases = [(search, tmp_path / f"{way}-{below}", below) for below in (EXACT_BELOW, 1) for way, search in WAYS.items()]
    searches = [(search, Retriever(made(path), embedder, exact_below=below)) for search, path, below in cases]
    paths = [str(path) for _, path, _ in cases]
    assert [search(retriever, TOPICS[0])[0] for search, retriever in searches] == [TOPICS[0]] * len(searches)
    run_python(OTHER, "delete", *paths)
    for found in [search(retriever, TOPICS[0]) for search, retriever in searches]:
        assert len(found) == 3
        assert set(found) <= set(TOPICS[5:])
    run_python(OTHER, "add", *paths)
    assert {search(retriever, "a cup of green tea")[0] for search, retriever in searches} == {"a cup of green tea"}


def test_a_collection_that_was_empty_is_found_filled_by_another_process(
    tmp_path: Path, embedder: MiniLMEmbedder
) -> None:
    cases = [(search, tmp_path / way) for way, search in WAYS.items()]
    opened = [open_collection("docs", path=path, create=True) for _, path in cases]
    searches = [
        (search, Retriever(collection, embedder)) for (search, _), collection in zip(cases, opened, strict=True)
    ]
    assert [search(retriever, "tea") for search, retriever in searches] == [[]] * len(searches)
    run_python(OTHER, "add", *(str(path) for _, path in cases))
    assert [search(retriever, "tea") for search, retriever in searches] == [["a cup of green tea"]] * len(searches)


def test_a_new_retriever_over_a_collection_that_was_empty_finds_it_filled(
    tmp_path: Path, embedder: MiniLMEmbedder
) -> None:
    collection = open_collection("docs", path=tmp_path, create=True)
    Retriever(collection, embedder).search("tea")
    run_python(OTHER, "add", str(tmp_path))
    assert [hit.document for hit in Retriever(collection, embedder).search("tea")] == ["a cup of green tea"]


@pytest.mark.parametrize("message", ["Error finding id", "Error creating hnsw segment reader: Nothing found on disk"])
def test_an_index_that_lacks_what_is_stored_points_to_verify(message: str) -> None:
    with pytest.raises(StaleIndexError, match=r"while searching.*minilm verify"), store_errors("searching"):
        raise RuntimeError(f"Error executing plan: Internal error: {message}")


def test_a_sound_collection_is_not_called_damaged(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection = made(tmp_path)
    run_python(OTHER, "add", str(tmp_path))
    assert verify_collection(collection, embedder).sound
    run_python(OTHER, "delete", str(tmp_path))
    assert Retriever(collection, embedder).search(TOPICS[7], k=1)[0].document == TOPICS[7]


@pytest.fixture
def reloads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    made: list[object] = []
    monkeypatch.setattr(freshness, "forget_stale_indexes", made.append)
    return made


def results(*answers: Any) -> Callable[[], Any]:
    remaining = iter(answers)

    def work() -> Any:
        answer = next(remaining)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return work


def test_what_was_deleted_just_then_is_read_once_more(reloads: list[object]) -> None:
    assert read_freshly("client", results(("a", frozenset("x")), ("b", frozenset()))) == "b"
    assert read_freshly("client", results(("a", frozenset("x")), ("b", frozenset("y")), ("c", frozenset("z")))) == "c"
    assert read_freshly("client", results(StaleIndexError("lacks"), ("b", frozenset("y")), ("c", frozenset()))) == "c"
    assert reloads == []


def test_what_is_always_missing_has_the_index_read_anew(reloads: list[object]) -> None:
    error, again = StaleIndexError("lacks a vector"), ("a", frozenset("xy"))
    assert read_freshly("client", results(again, ("b", frozenset("xz")), again, again, ("c", frozenset()))) == "c"
    assert read_freshly("client", results(error, error, error, error, ("c", frozenset()))) == "c"
    assert reloads == ["client", "client"]
    with pytest.raises(StaleIndexError, match="lacks a vector"):
        read_freshly("client", results(error, error, error, error, error))
