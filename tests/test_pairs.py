"""All pairs above a threshold: exactly those of a brute-force reference, whatever the blocks and the rows."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.similarity import cosine_similarity, pairs_above

BLOCKS = (150, 257, 1024, 5000)


def reference(vectors: npt.NDArray[np.float32], threshold: float) -> dict[tuple[int, int], np.float32]:
    """Every cosine similarity, row by row."""
    found = {}
    for left, row in enumerate(vectors):
        scores = cosine_similarity(row, vectors[left + 1 :])
        for right in np.flatnonzero(scores >= np.float32(threshold)):
            found[left, left + 1 + int(right)] = scores[right]
    return found


def collected(vectors: npt.ArrayLike, threshold: float, **options: int) -> dict[tuple[int, int], np.float32]:
    found: dict[tuple[int, int], np.float32] = {}
    for left, right, scores in pairs_above(vectors, threshold, **options):
        assert (left.dtype, right.dtype, scores.dtype) == (np.int64, np.int64, np.float32)
        assert len(left) == len(right) == len(scores) > 0
        here = list(zip(left.tolist(), right.tolist(), strict=True))
        assert here == sorted(here)
        assert not found.keys() & set(here), "no pair comes twice"
        found |= dict(zip(here, scores, strict=True))
    return found


@pytest.fixture(scope="module")
def rows() -> npt.NDArray[np.float32]:
    """3,000 rows in clumps of all tightnesses, of unit length and not, with equal, opposite and zero ones."""
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((300, 64))
    spread = chance.uniform(0.02, 1.0, (3000, 1))
    rows = centres[chance.integers(0, 300, 3000)] + spread * chance.standard_normal((3000, 64))
    rows[:1500] /= np.linalg.norm(rows[:1500], axis=1, keepdims=True)
    rows[2000:2040] = rows[:40]
    rows[2040:2060] = -rows[40:60]
    rows[2060:2070] = 0
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def every_score(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.array([cosine_similarity(row, rows) for row in rows])


def test_the_pairs_are_those_of_brute_force(
    rows: npt.NDArray[np.float32], every_score: npt.NDArray[np.float32]
) -> None:
    upper = np.triu(np.ones_like(every_score, dtype=bool), 1)
    # Scores that occur: thresholds that some pair has exactly; and the numbers next to them, which it just misses.
    chosen = np.random.default_rng(1).choice(every_score[upper & (every_score > 0.5)], 3)
    thresholds = [0.95, 1.0, *chosen, *np.nextafter(chosen, np.float32(2))]
    counts = set()
    for number, threshold in enumerate(thresholds):
        expected = {(int(i), int(j)): every_score[i, j] for i, j in np.argwhere(upper & (every_score >= threshold))}
        assert collected(rows, float(threshold), block=BLOCKS[number % len(BLOCKS)]) == expected
        counts.add(len(expected))
    assert len(counts) == len(thresholds), "each next number is one pair less"


def test_blocks_make_no_difference(rows: npt.NDArray[np.float32]) -> None:
    expected = collected(rows, 0.9)
    assert len(expected) > 1000
    for block in BLOCKS:
        assert collected(rows, 0.9, block=block) == expected


def test_most_pairs_and_all_pairs(rows: npt.NDArray[np.float32]) -> None:
    some = rows[1800:2100]
    for threshold in (0.0, -1.0):
        assert collected(some, threshold, block=130) == reference(some, threshold)
    assert len(collected(some, -1.0)) == 300 * 299 // 2


def test_equal_rows_are_pairs_at_a_threshold_of_one() -> None:
    chance = np.random.default_rng(2)
    one = chance.standard_normal((1, 384)).astype(np.float32)
    rows = np.concatenate([one, chance.standard_normal((600, 384)).astype(np.float32), one * 4, one])
    assert collected(rows, 1.0, block=100) == {(0, 601): 1.0, (0, 602): 1.0, (601, 602): 1.0}
    many = np.repeat(one, 700, axis=0)
    assert len(collected(many, 1.0, block=300)) == 700 * 699 // 2


def test_zero_rows_are_similar_to_nothing() -> None:
    rows = [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
    assert collected(rows, 0.5) == {}
    assert collected(rows, 0.0) == {(0, 1): 0.0, (0, 2): 0.0, (1, 2): 0.0}


@settings(max_examples=60)
@given(
    rows=arrays(np.float32, st.tuples(st.integers(0, 12), st.just(3)), elements=st.floats(-4, 4, width=16)),
    threshold=st.floats(-1, 1, width=16),
    block=st.integers(1, 13),
)
def test_small_arrays(rows: npt.NDArray[np.float32], threshold: float, block: int) -> None:
    assert collected(rows, threshold, block=block) == reference(rows, threshold)


@pytest.mark.parametrize("scale", [1e-42, 1e-20, 1e25, 3e37])
def test_rows_of_any_length(scale: float) -> None:
    rows = (np.random.default_rng(3).standard_normal((200, 8)) * scale).astype(np.float32)
    rows[7] = rows[3]
    assert collected(rows, 0.8, block=90) == reference(rows, 0.8)


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int64])
def test_numbers_of_other_kinds(kind: type) -> None:
    rows = (np.random.default_rng(4).standard_normal((100, 8)) * 9).astype(kind)
    assert collected(rows, 0.7) == reference(rows, 0.7)


def test_a_memory_mapped_file(rows: npt.NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(file, rows)
    assert collected(np.load(file, mmap_mode="r"), 0.95) == collected(rows, 0.95)


def test_progress_adds_up_to_all_pairs(rows: npt.NDArray[np.float32]) -> None:
    for count in (0, 1, 2, 999):
        steps: list[int] = []
        list(pairs_above(rows[:count], 0.9, block=100, advance=steps.append))
        assert sum(steps) == count * (count - 1) // 2


@pytest.mark.parametrize("empty", [[], np.zeros((0, 384)), np.zeros((0, 0)), [[1.0, 2.0]]])
def test_no_rows_and_one_row_have_no_pairs(empty: npt.ArrayLike) -> None:
    assert collected(empty, -1.0) == {}


@pytest.mark.parametrize("vectors", [[1.0, 2.0], np.ones((2, 2, 2)), [["a"]], [[math.nan]], [[1.0], [math.inf]]])
def test_what_is_no_array_of_rows_is_refused_at_once(vectors: npt.ArrayLike) -> None:
    with pytest.raises(InvalidOptionError):
        pairs_above(vectors, 0.5)


@pytest.mark.parametrize("threshold", [1.01, -1.01, math.nan, 95])
def test_a_threshold_that_no_cosine_has_is_refused_at_once(threshold: float) -> None:
    with pytest.raises(InvalidOptionError, match="between -1 and 1"):
        pairs_above([[1.0]], threshold)


def test_a_block_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="block"):
        pairs_above([[1.0]], 0.5, block=0)
