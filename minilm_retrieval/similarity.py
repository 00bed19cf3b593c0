"""Cosine similarity over plain arrays: of one row with many, the nearest, near pairs, communities.

Pure functions: no model, no store. A score is summed in float64 and rounded to float32, so that it does not depend on
which other rows are in the array, and equal rows tie exactly. Work on all pairs of rows goes block by block, in memory
that does not grow with their number. Rows need not have unit length; one of length zero is similar to nothing (0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.rows import BLOCK, FloatArray, IntArray, Rows, blocks, rounded
from minilm_retrieval.whole_numbers import at_least

# How many centres of communities are looked at together: as many bytes for each row.
_CENTRES = 256
_MATRIX_CELLS = 32_000_000


def cosine_similarity(query: npt.ArrayLike, vectors: npt.ArrayLike) -> FloatArray:
    """Return the cosine similarity of one vector with each row of an array.

    Args:
        query: Shape ``(d,)``.
        vectors: Shape ``(n, d)``; rows need not have unit length.

    Returns:
        Shape ``(n,)``, float32 in [-1, 1]; 0 for a row (or a query) of length zero.

    Raises:
        InvalidOptionError: The shapes do not fit, or a value is not finite.

    Source: cos(a, b) = a.b / (|a| |b|).

    >>> cosine_similarity([1.0, 0.0], [[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]).tolist()
    [1.0, 0.0, -1.0]
    """
    scores = _cosines(query, vectors)
    wrong = np.flatnonzero(np.isnan(scores))
    if wrong.size:
        place = f"Row {wrong[0]} of the vectors" if np.isfinite(np.asarray(query)).all() else "The query"
        raise InvalidOptionError(f"{place} is not finite ({wrong.size} such rows).")
    return rounded(scores)


def cosine_or_zero(query: npt.ArrayLike, vectors: npt.ArrayLike) -> FloatArray:
    """Do as :func:`cosine_similarity` does, for vectors that may be damaged: what is not finite is similar to nothing.

    >>> cosine_or_zero([1.0, 0.0], [[2.0, 0.0], [np.nan, 0.0]]).tolist()
    [1.0, 0.0]
    """
    return rounded(np.nan_to_num(_cosines(query, vectors)))


def _cosines(query: npt.ArrayLike, vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return not-a-number for what is not finite."""
    left = np.asarray(query, dtype=np.float64)
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.size == 0:
        return np.zeros(0)
    if rows.ndim != 2 or left.shape != rows.shape[1:]:
        raise InvalidOptionError(f"Expected shapes (d,) and (n, d), got {left.shape} and {rows.shape}.")
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows)) * np.sqrt(np.einsum("i,i->", left, left))
    products = np.einsum("ij,j->i", rows, left)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(products, lengths, out=np.zeros_like(products), where=lengths != 0))


def is_unit(vectors: npt.ArrayLike, tolerance: float = 1e-3) -> npt.NDArray[np.bool_]:
    """Tell for each row of shape ``(n, d)`` whether its Euclidean length is 1 within the tolerance.

    >>> is_unit([[0.6, 0.8], [1.0, 1.0]]).tolist()
    [True, False]
    """
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    return np.asarray(np.abs(np.sqrt(np.einsum("ij,ij->i", rows, rows)) - 1.0) <= tolerance)


def rank(scores: npt.ArrayLike, ids: list[str]) -> list[int]:
    """Return positions ordered by falling score, ties by rising id, so that the order is always the same.

    >>> rank([0.5, 0.9, 0.9], ["c", "b", "a"])
    [2, 1, 0]
    """
    values = np.asarray(scores)
    return sorted(range(len(ids)), key=lambda position: (-float(values[position]), ids[position]))


def top_k(queries: npt.ArrayLike, vectors: npt.ArrayLike, k: int) -> tuple[IntArray, FloatArray]:
    """Return for each query the ``k`` rows with the highest cosine similarity, best first, ties by rising position.

    Args:
        queries: Shape ``(m, d)``.
        vectors: Shape ``(n, d)``.
        k: At least 1; with fewer than ``k`` rows, all of them are returned.

    Returns:
        Positions in ``vectors``, shape ``(m, min(k, n))``, and scores of the same shape, float32 in [-1, 1].

    Raises:
        InvalidOptionError: The shapes do not fit, a value is not finite, or ``k`` is no whole number of at least 1.

    >>> positions, scores = top_k([[1.0, 0.0]], [[0.0, 2.0], [3.0, 0.0], [0.6, 0.8]], k=2)
    >>> positions.tolist(), scores.round(6).tolist()
    ([[1, 2]], [[1.0, 0.6000000238418579]])
    """
    asked, rows = Rows(queries), Rows(vectors)
    if len(asked) and len(rows) and asked.values.shape[1] != rows.values.shape[1]:
        raise InvalidOptionError(
            f"Expected shapes (m, d) and (n, d), got {asked.values.shape} and {rows.values.shape}."
        )
    k = at_least("k", k, 1)
    positions = np.zeros((len(asked), min(k, len(rows))), dtype=np.int64)
    scores = np.zeros(positions.shape, dtype=np.float32)
    for some in blocks(len(asked)):
        left = asked.exact_unit(some)
        best = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))] * len(left)
        for block in blocks(len(rows)):
            found = rounded(left @ rows.exact_unit(block).T)
            best = [_best(*held, block.start, row, k) for held, row in zip(best, found, strict=True)]
        for query, (held, values) in enumerate(best, some.start):
            positions[query], scores[query] = held, values
    return positions, scores


def _best(positions: IntArray, scores: FloatArray, start: int, row: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """Return the best ``k`` of those held and those of a block that begins at a position, in order."""
    lowest = scores[-1] if len(scores) == k else -np.inf
    if len(row) > k:
        lowest = max(lowest, np.partition(row, -k)[-k])
    new = np.flatnonzero(row >= lowest)
    positions, scores = np.concatenate([positions, new + start]), np.concatenate([scores, row[new]])
    # Those held come first and positions rise, so that a stable sort leaves ties in their order.
    order = np.argsort(-scores, kind="stable")[:k]
    return positions[order], scores[order]


def pairs_above(
    vectors: npt.ArrayLike, threshold: float, *, block: int = BLOCK, advance: Callable[[int], None] | None = None
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Give all pairs of rows whose cosine similarity is at least the threshold, exactly, block by block.

    Matrix products in float32 find the candidates; those are decided by their scores, summed in float64, rounded to
    float32 and compared with the threshold rounded to float32. So the pairs do not depend on the size of the blocks,
    equal rows are pairs at a threshold of 1, and a score is the one that :func:`cosine_similarity` gives.

    Args:
        vectors: Shape ``(n, d)``. It may be a memory-mapped file.
        threshold: In [-1, 1].
        block: How many rows are compared with how many others at a time; memory grows with its square.
        advance: Is told how many pairs were compared; in the end those are ``n * (n - 1) / 2``.

    Returns:
        An iterator over ``(left, right, scores)``, three arrays of one length: positions with ``left < right``, by
        rising ``left``, then ``right``, within a block; and scores, float32. Blocks without a pair are left out.

    Raises:
        InvalidOptionError: At once: the shape does not fit, a value is not finite, or the threshold is out of range.

    >>> for left, right, scores in pairs_above([[1.0, 0.0], [0.6, 0.8], [2.0, 0.0]], 0.5):
    ...     print(left.tolist(), right.tolist(), scores.round(3).tolist())
    [0, 0, 1] [1, 2, 2] [0.6000000238418579, 1.0, 0.6000000238418579]
    """
    rows = Rows(vectors)
    return _pairs_above(rows, checked_threshold(threshold), at_least("block", block, 1), advance or _nobody)


def _pairs_above(
    rows: Rows, threshold: np.float32, block: int, advance: Callable[[int], None]
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    for some in blocks(len(rows), block):
        for others in blocks(len(rows), block, some.start):
            left, right, scores = rows.pairs(some, others, threshold)
            if len(left):
                yield left, right, scores
            here = some.stop - some.start
            advance(here * (here - 1) // 2 if others == some else here * (others.stop - others.start))


def similarity_blocks(vectors: npt.ArrayLike) -> Iterator[FloatArray]:
    """Give the matrix of the cosine similarities of all rows with all, some of its rows at a time, in order.

    Args:
        vectors: Shape ``(n, d)``. It may be a memory-mapped file.

    Returns:
        An iterator over arrays of shape ``(b, n)``, float32 in [-1, 1], of at most 128 MB.

    Raises:
        InvalidOptionError: At once: the shape does not fit, or a value is not finite.

    >>> np.concatenate(list(similarity_blocks([[1.0, 0.0], [0.0, 2.0], [0.0, 3.0]]))).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    rows = Rows(vectors)
    size = max(1, min(BLOCK, _MATRIX_CELLS // max(len(rows), 1)))
    return (
        np.concatenate([rounded(unit @ rows.exact_unit(others).T) for others in blocks(len(rows))], axis=1)
        for unit in map(rows.exact_unit, blocks(len(rows), size))
    )


def checked_threshold(value: float) -> np.float32:
    """Return a threshold as it is compared with scores.

    Raises:
        InvalidOptionError: No cosine similarity can be so high or low.
    """
    if not -1.0 <= value <= 1.0:
        raise InvalidOptionError(f"The threshold is a cosine similarity, between -1 and 1, got {value}.")
    threshold: np.float32 = np.float32(value)
    return threshold


def communities(
    vectors: npt.ArrayLike, threshold: float, min_size: int = 2, advance: Callable[[int], None] | None = None
) -> IntArray:
    """Group rows around centres: each member's cosine similarity to its centre is at least the threshold.

    Every row with at least ``min_size`` rows in its reach (itself included) may be a centre. They are taken in order of
    falling numbers of these, ties by rising position; each that is in no community yet makes one, of itself and the
    rows in its reach that are in none either, if those are at least ``min_size``. So does ``community_detection`` of
    sentence-transformers, which this follows, in memory that does not grow with the number of neighbours.

    Args:
        vectors: Shape ``(n, d)``. It may be a memory-mapped file.
        threshold: In [-1, 1], compared as in :func:`pairs_above`.
        min_size: At least 1.
        advance: Is told how many rows were dealt with; in the end those are ``2 * n``: each is counted, then grouped.

    Returns:
        Each row's community, shape ``(n,)``, int64: 0 for the largest and so on, -1 for none.

    Raises:
        InvalidOptionError: The shape does not fit, a value is not finite, or an option is out of range.

    >>> communities([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0], [-1.0, 0.0], [0.2, 1.0]], 0.9).tolist()
    [-1, 0, 0, -1, 0]
    """
    rows, lowest, advance = Rows(vectors), checked_threshold(threshold), advance or _nobody
    min_size = at_least("min_size", min_size, 1)
    counts = np.zeros(len(rows), dtype=np.int64)
    for some in blocks(len(rows)):
        for others in blocks(len(rows), start=some.start):
            near = rows.near(some, others, lowest)
            counts[some] += np.count_nonzero(near, axis=1)
            if others != some:
                counts[others] += np.count_nonzero(near, axis=0)
        advance(some.stop - some.start)
    return _by_size(_grouped(rows, counts, lowest, min_size, advance))


def _grouped(
    rows: Rows, counts: IntArray, lowest: np.float32, min_size: int, advance: Callable[[int], None]
) -> IntArray:
    """Return labels in the order in which the communities are found."""
    labels = np.full(len(rows), -1, dtype=np.int64)
    found = 0
    order = np.argsort(-counts, kind="stable")
    for some in blocks(len(rows), _CENTRES):
        centres = order[some]
        centres = centres[(counts[centres] >= min_size) & (labels[centres] < 0)]
        free = np.flatnonzero(labels < 0)
        near = np.zeros((len(centres), len(free)), dtype=bool)
        for block in blocks(len(free) if len(centres) else 0):
            near[:, block] = rows.near(centres, free[block], lowest)
        for centre, reached in zip(centres, near, strict=True):
            if labels[centre] < 0:
                members = free[reached]
                members = members[labels[members] < 0]
                if len(members) >= min_size:
                    labels[members] = found
                    found += 1
        advance(some.stop - some.start)
    return labels


def _by_size(labels: IntArray) -> IntArray:
    """Number the labels anew, by falling size, ties as they were."""
    sizes = np.bincount(labels[labels >= 0])
    numbers = np.empty(len(sizes) + 1, dtype=np.int64)
    numbers[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    numbers[-1] = -1
    return numbers[labels]


def _nobody(steps: int) -> None:
    """Do as if somebody watched."""
