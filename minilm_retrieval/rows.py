"""Rows of an array, compared with each other block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import InvalidOptionError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BLOCK = 1024
_PAIRS_AT_ONCE = 8192
# A relative rounding error of float32, and how far from 1 a length may be to be taken for 1 in finding candidates.
_ROUNDING = 2.0**-24
_UNIT = 1e-6


class Rows:
    """Rows and their lengths; a score is a cosine similarity summed in float64 and rounded to float32.

    Args:
        vectors: Shape ``(n, d)``; rows need not have unit length, and one of length zero is similar to nothing (0).
            They are not copied, and may be a memory-mapped file.

    Attributes:
        values: The array itself.
        lengths: Euclidean, shape ``(n,)``, float64.
        slack: How far a float32 product of two unit rows may be from their score.

    Raises:
        InvalidOptionError: The shape is another, or a value is not a finite number.
    """

    def __init__(self, vectors: npt.ArrayLike) -> None:
        values = np.asanyarray(vectors)
        if values.ndim == 1 and not values.size:
            values = values.reshape(0, 0)
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise InvalidOptionError(f"Expected numbers of shape (n, d), got {values.dtype} of shape {values.shape}.")
        self.values = values
        self.lengths = np.zeros(len(values))
        for block in blocks(len(values)):
            rows = np.asarray(values[block], dtype=np.float64)
            self.lengths[block] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        wrong = np.flatnonzero(~np.isfinite(self.lengths))
        if wrong.size:
            raise InvalidOptionError(f"Row {wrong[0]} of the vectors is not finite ({wrong.size} such rows).")
        self._ready = values.dtype == np.float32 and bool((np.abs(self.lengths - 1.0) <= _UNIT).all())
        self._positions = np.arange(len(values))
        # One rounding for each product and sum, in whatever order, and some for lengths and scores.
        # Source: Higham, Accuracy and Stability of Numerical Algorithms, section 3.1.
        self.slack = np.float32((values.shape[1] + 8) * _ROUNDING + 4 * _UNIT)

    def __len__(self) -> int:
        return len(self.values)

    def unit(self, some: slice | IntArray) -> FloatArray:
        """Return some of the rows with unit length, float32; those of length zero as they are."""
        return self.values[some] if self._ready else self.exact_unit(some).astype(np.float32)

    def exact_unit(self, some: slice | IntArray) -> npt.NDArray[np.float64]:
        """Return the same, float64."""
        lengths = self.lengths[some, None]
        return np.asarray(self.values[some] / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)

    def scores(self, left: IntArray, right: IntArray) -> FloatArray:
        """Return the scores of pairs of positions, shape ``(p,)``."""
        scores = np.zeros(len(left), dtype=np.float32)
        for some in blocks(len(left), _PAIRS_AT_ONCE):
            one, other = left[some], right[some]
            products = np.einsum("ij,ij->i", *(self.values[side].astype(np.float64) for side in (one, other)))
            lengths = self.lengths[one] * self.lengths[other]
            scores[some] = rounded(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0))
        return scores

    def near(self, some: slice | IntArray, others: slice | IntArray, threshold: np.float32) -> npt.NDArray[np.bool_]:
        """Tell which of some rows score at least a threshold with which of others, shape ``(some, others)``."""
        products = self.unit(some) @ self.unit(others).T
        near: npt.NDArray[np.bool_] = products >= threshold - self.slack
        doubtful = np.nonzero(near & (products < threshold + self.slack))
        left, right = self._positions[some][doubtful[0]], self._positions[others][doubtful[1]]
        near[doubtful] = self.scores(left, right) >= threshold
        return near


def blocks(length: int, size: int = BLOCK, start: int = 0) -> Iterator[slice]:
    """Give slices of a length, each of a size but for the last.

    >>> list(blocks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for begin in range(start, length, size):
        yield slice(begin, min(begin + size, length))


def rounded(scores: npt.NDArray[np.float64]) -> FloatArray:
    """Return cosine similarities as float32 in [-1, 1], so that float64's last bit makes no difference."""
    return np.asarray(np.clip(scores, -1.0, 1.0), dtype=np.float32)
