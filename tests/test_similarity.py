from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.similarity import cosine_or_zero, cosine_similarity, is_unit, rank, top_k

numbers = st.floats(-100, 100, width=32)


@given(arrays(np.float32, (5, 7), elements=numbers), arrays(np.float32, 7, elements=numbers))
def test_cosine_is_the_textbook_formula(vectors: np.ndarray, query: np.ndarray) -> None:
    scores = cosine_similarity(query, vectors)
    assert scores.dtype == np.float32
    assert scores.shape == (5,)
    for score, row in zip(scores.tolist(), vectors.astype(float), strict=True):
        product = math.fsum(a * b for a, b in zip(row, query.astype(float), strict=True))
        length = math.hypot(*row) * math.hypot(*query.astype(float))
        assert score == pytest.approx(product / length if length else 0.0, abs=1e-6)


@given(arrays(np.float32, (9, 16), elements=numbers), arrays(np.float32, 16, elements=numbers))
def test_a_score_does_not_depend_on_the_other_rows(vectors: np.ndarray, query: np.ndarray) -> None:
    together = cosine_similarity(query, vectors)
    assert [cosine_similarity(query, row[None])[0] for row in vectors] == together.tolist()


def test_equal_rows_tie_exactly_wherever_they_stand() -> None:
    chance = np.random.default_rng(0)
    row, query = chance.standard_normal((2, 384)).astype(np.float32)
    for count in (1, 2, 3, 17, 1000):
        vectors = chance.standard_normal((count + 2, 384)).astype(np.float32)
        vectors[0] = vectors[-1] = row
        scores = cosine_similarity(query, vectors)
        assert scores[0] == scores[-1] == cosine_similarity(query, [row])[0]


def test_a_vector_with_itself_is_never_more_than_one() -> None:
    vectors = np.random.default_rng(1).standard_normal((500, 384)).astype(np.float32)
    scores = np.array([cosine_similarity(vector, [vector, -vector]) for vector in vectors])
    assert scores.max() == 1.0
    assert scores.min() == -1.0
    assert np.allclose(np.abs(scores), 1.0)


def test_length_zero_scores_zero_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert cosine_similarity([0.0, 0.0], [[1.0, 2.0], [0.0, 0.0]]).tolist() == [0.0, 0.0]
    assert cosine_similarity([1.0, 0.0], [[0.0, 0.0]]).tolist() == [0.0]
    assert len(recwarn) == 0


def test_no_rows_no_scores() -> None:
    assert cosine_similarity([1.0, 0.0], np.zeros((0, 2))).shape == (0,)
    assert cosine_similarity([1.0, 0.0], []).shape == (0,)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_row(value: float) -> None:
    rows = [[1.0, 0.0], [value, 0.0], [0.0, value]]
    with pytest.raises(InvalidOptionError, match=r"Row 1 of the vectors is not finite \(2 such rows\)"):
        cosine_similarity([1.0, 0.0], rows)
    with pytest.raises(InvalidOptionError, match="The query is not finite"):
        cosine_similarity([value, 0.0], [[1.0, 0.0]])
    assert cosine_or_zero([1.0, 0.0], rows).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("width", [1, 3, 4, 8])
def test_vectors_of_another_dimension_are_refused(width: int) -> None:
    with pytest.raises(ValueError):
        cosine_similarity([1.0, 0.0], np.ones((6, width)))


def test_is_unit_uses_the_length_and_the_tolerance() -> None:
    vectors = [[1.0, 0.0], [0.6, 0.8], [0.6, 0.81], [0.0, 0.0], [-1.0005, 0.0], [float("nan"), 0.0]]
    assert is_unit(vectors).tolist() == [True, True, False, False, True, False]
    assert is_unit(vectors, tolerance=0.1).tolist() == [True, True, True, False, True, False]
    assert is_unit([1.0, 0.0]).tolist() == [True]


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.5000001, 0.9]), st.text(max_size=3)), unique_by=lambda x: x[1]))
def test_rank_is_falling_score_then_rising_id(rows: list[tuple[float, str]]) -> None:
    scores, ids = [score for score, _ in rows], [name for _, name in rows]
    order = rank(scores, ids)
    assert sorted(order) == list(range(len(rows)))
    ranked = [(-scores[position], ids[position]) for position in order]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize("k", [1, 7, 1500, 3000, 9999])
def test_top_k_is_the_order_of_all_scores(k: int) -> None:
    chance = np.random.default_rng(5)
    vectors = chance.standard_normal((3000, 24)).astype(np.float32)
    vectors[2000:2900] = vectors[chance.integers(0, 30, 900)]
    queries = np.concatenate([vectors[:3] * 2, chance.standard_normal((2, 24)), np.zeros((1, 24))]).astype(np.float32)
    positions, scores = top_k(queries, vectors, k)
    assert (positions.dtype, scores.dtype) == (np.int64, np.float32)
    for query, places, found in zip(queries, positions, scores, strict=True):
        every = cosine_similarity(query, vectors)
        expected = np.argsort(-every, kind="stable")[:k]
        assert places.tolist() == expected.tolist()
        assert found.tolist() == every[expected].tolist()


def test_top_k_of_many_queries() -> None:
    vectors = np.random.default_rng(6).standard_normal((2300, 8)).astype(np.float32)
    positions, scores = top_k(vectors, vectors, 1)
    assert positions[:, 0].tolist() == list(range(2300))
    assert (scores == 1.0).all()


@pytest.mark.parametrize(
    ("queries", "vectors", "shape"),
    [([], [[1.0, 0.0]], (0, 1)), ([[1.0, 0.0]], [], (1, 0)), (np.zeros((2, 3)), np.zeros((1, 3)), (2, 1))],
)
def test_top_k_of_nothing(queries: Any, vectors: Any, shape: tuple[int, int]) -> None:
    positions, scores = top_k(queries, vectors, 4)
    assert positions.shape == scores.shape == shape


@pytest.mark.parametrize(
    ("queries", "vectors", "k"),
    [
        ([1.0, 0.0], [[1.0, 0.0]], 1),
        ([[1.0]], [[1.0, 0.0]], 1),
        ([[1.0]], [[1.0]], 0),
        ([[1.0]], [[1.0]], 1.5),
        ([[math.nan]], [[1.0]], 1),
    ],
)
def test_top_k_of_what_does_not_fit_is_refused(queries: Any, vectors: Any, k: Any) -> None:
    with pytest.raises(InvalidOptionError):
        top_k(queries, vectors, k)
