"""Communities: as sentence-transformers finds them, in bounded memory."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.similarity import communities, cosine_similarity


@pytest.fixture(scope="module")
def rows() -> npt.NDArray[np.float32]:
    """2,500 rows around 50 centres."""
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((50, 32))
    return (centres[chance.integers(0, 50, 2500)] + 0.6 * chance.standard_normal((2500, 32))).astype(np.float32)


@pytest.mark.parametrize(
    ("threshold", "min_size"), [(-1.0, 1), (0.1, 2), (0.5, 10), (0.7, 1), (0.7, 10), (0.8, 2), (0.9, 2)]
)
def test_they_are_those_of_sentence_transformers(
    rows: npt.NDArray[np.float32], threshold: float, min_size: int
) -> None:
    util = pytest.importorskip("sentence_transformers.util")
    expected = np.full(len(rows), -1)
    for number, members in enumerate(util.community_detection(rows, threshold, min_size)):
        expected[members] = number
    assert communities(rows, threshold, min_size).tolist() == expected.tolist()


def test_members_are_near_one_centre_and_communities_are_numbered_by_size(rows: npt.NDArray[np.float32]) -> None:
    labels = communities(rows, 0.75, 5)
    assert labels.dtype == np.int64
    sizes = np.bincount(labels[labels >= 0])
    assert len(sizes) > 10
    assert sizes.min() >= 5
    assert (np.diff(sizes) <= 0).all()
    for label in range(len(sizes)):
        members = rows[labels == label]
        assert max(cosine_similarity(row, members).min() for row in members) >= np.float32(0.75)


def test_a_score_that_is_the_threshold_is_enough() -> None:
    pairs = np.random.default_rng(1).standard_normal((200, 2, 384)).astype(np.float32)
    for one, other in pairs:
        score = cosine_similarity(one, [other])[0]
        assert communities([one, other], float(score)).tolist() == [0, 0]
        assert communities([one, other], float(np.nextafter(score, np.float32(1)))).tolist() == [-1, -1]


def test_equal_rows_are_together_at_a_threshold_of_one() -> None:
    chance = np.random.default_rng(2)
    kinds = chance.standard_normal((3, 384)).astype(np.float32)
    chosen = chance.permutation(np.repeat([0, 1, 2], [600, 500, 1]))
    expected = np.where(chosen == 2, -1, chosen)
    assert communities(kinds[chosen], 1.0).tolist() == expected.tolist()


def test_zero_rows_belong_to_nothing() -> None:
    rows = [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.1]]
    assert communities(rows, 0.5).tolist() == [-1, 0, -1, 0]
    assert communities(rows, 0.5, min_size=1).tolist() == [-1, 0, -1, 0]


def test_memory_does_not_grow_with_the_neighbours() -> None:
    chance = np.random.default_rng(3)
    rows = (chance.standard_normal((6000, 16)) + 3).astype(np.float32)
    tracemalloc.start()
    assert communities(rows, 0.0).tolist() == [0] * 6000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6, "36 million neighbours would take 288 MB as positions"


def test_progress_adds_up(rows: npt.NDArray[np.float32]) -> None:
    steps: list[int] = []
    communities(rows, 0.7, advance=steps.append)
    assert sum(steps) == 2 * len(rows)


@pytest.mark.parametrize(("rows", "expected"), [([], []), (np.zeros((0, 384)), []), ([[1.0, 2.0]], [-1])])
def test_no_rows_and_one_row(rows: npt.ArrayLike, expected: list[int]) -> None:
    assert communities(rows, 0.5).tolist() == expected


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ([1.0, 2.0], {"threshold": 0.5}),
        ([[math.nan]], {"threshold": 0.5}),
        ([[1.0]], {"threshold": 1.5}),
        ([[1.0]], {"threshold": 0.5, "min_size": 0}),
    ],
)
def test_what_makes_no_sense_is_refused(rows: npt.ArrayLike, options: dict[str, float]) -> None:
    with pytest.raises(InvalidOptionError):
        communities(rows, **options)  # type: ignore[arg-type]
