"""Near-duplicate pairs of texts: all of them, best first, in memory that does not grow with their number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.analysis import EmbeddedTexts, duplicates, embed_documents, find_duplicates
from minilm_retrieval.errors import InvalidOptionError, StoreError
from minilm_retrieval.ingest import Document
from minilm_retrieval.similarity import cosine_similarity

TEXTS = [
    "How do I reset my password?",
    "Which payment methods do you accept?",
    "The delivery took three weeks.",
    "how do i reset my password",
    "Which payment methods do you accept?",
    "Can I cancel my subscription at any time?",
]


def texts_of(vectors: np.ndarray) -> EmbeddedTexts:
    count = len(vectors)
    return EmbeddedTexts([f"id {row}" for row in range(count)], ["text"] * count, [{}] * count, vectors)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """2,500 rows in clumps, with equal ones."""
    chance = np.random.default_rng(0)
    rows = chance.standard_normal((250, 32))[chance.integers(0, 250, 2500)] + 0.25 * chance.standard_normal((2500, 32))
    rows[1200:1260] = rows[:60]
    return rows.astype(np.float32)


def test_texts_that_are_nearly_the_same(embedder: MiniLMEmbedder) -> None:
    found = find_duplicates(
        embed_documents([Document(str(row), text) for row, text in enumerate(TEXTS)], embedder), show_progress=True
    )
    (same, alike) = found
    assert same == (1, 4, 1.0), "identical texts are a pair, and the best"
    assert (alike.left, alike.right) == (0, 3)
    assert 0.98 < alike.score < 1
    assert (len(found), found.texts_in_pairs) == (2, 4)


def test_the_pairs_are_those_of_brute_force_best_first(vectors: np.ndarray) -> None:
    found = find_duplicates(texts_of(vectors), 0.9)
    every = np.array([cosine_similarity(row, vectors) for row in vectors])
    left, right = np.nonzero(np.triu(every >= np.float32(0.9), 1))
    expected = sorted(zip((-every[left, right]).tolist(), left.tolist(), right.tolist(), strict=True))
    assert len(found) == len(expected) > 2000
    assert [(-score, left, right) for left, right, score in found] == expected
    assert found.texts_in_pairs == len(set(left) | set(right))
    assert list(found.best(7)) == list(islice(found, 7)), "it can be iterated over again"
    assert list(found.best(0)) == []


def test_nothing_to_find() -> None:
    for count in (0, 1, 5):
        found = find_duplicates(texts_of(np.eye(5, dtype=np.float32)[:count]))
        assert (list(found), len(found), found.texts_in_pairs) == ([], 0, 0)


def test_memory_does_not_grow_with_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    def blocks(*arguments: object, **options: object) -> Iterator[tuple[np.ndarray, ...]]:
        rows = np.arange(1000)
        for number in range(100):
            yield rows, rows + 1, np.full(1000, number / 100, dtype=np.float32)

    monkeypatch.setattr(duplicates, "pairs_above", blocks)
    tracemalloc.start()
    found = find_duplicates(texts_of(np.ones((1001, 1), dtype=np.float32)))
    assert sum(1 for _ in found) == len(found) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert next(iter(found)) == (0, 1, pytest.approx(0.99))
    assert peak < 3e6, "as Python's objects they would take some 14 MB"


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="between -1 and 1"):
        find_duplicates(texts_of(np.eye(2, dtype=np.float32)), 95)


def test_no_room_for_the_pairs(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = "PRAGMA max_page_count = 10"
    monkeypatch.setattr(duplicates, "_SETUP", (*duplicates._SETUP[:1], limit, duplicates._SETUP[-1]))
    with pytest.raises(StoreError, match=r"full.*higher threshold"):
        find_duplicates(texts_of(vectors), 0.5)
