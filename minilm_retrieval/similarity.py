"""Cosine similarity and top-k over plain arrays.

Pure functions: no model, no store. Sums run in float64 and row by row, so that a row's score does not depend on which
other rows are in the array, and equal rows tie exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import InvalidOptionError

FloatArray = npt.NDArray[np.float32]


def cosine_similarity(query: npt.ArrayLike, vectors: npt.ArrayLike) -> FloatArray:
    """Return the cosine similarity of one vector with each row of an array.

    Args:
        query: Shape ``(d,)``.
        vectors: Shape ``(n, d)``; rows need not have unit length.

    Returns:
        Shape ``(n,)``, float32 in [-1, 1]; 0 for a row (or a query) of length zero.

    Raises:
        InvalidOptionError: The shapes do not fit.

    Source: cos(a, b) = a.b / (|a| |b|).

    >>> cosine_similarity([1.0, 0.0], [[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]).tolist()
    [1.0, 0.0, -1.0]
    """
    left = np.asarray(query, dtype=np.float64)
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.size == 0:
        return np.zeros(0, dtype=np.float32)
    if rows.ndim != 2 or left.shape != rows.shape[1:]:
        raise InvalidOptionError(f"Expected shapes (d,) and (n, d), got {left.shape} and {rows.shape}.")
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows)) * np.sqrt(np.einsum("i,i->", left, left))
    products = np.einsum("ij,j->i", rows, left)
    scores = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.asarray(np.clip(scores, -1.0, 1.0), dtype=np.float32)


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
