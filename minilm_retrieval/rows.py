"""Rows of an array, compared with each other block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import InvalidOptionError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BLOCK = 1024
# Rows of pairs that are multiplied at a time, so that they stay in the processor's cache.
_PAIRS_AT_ONCE = 512
# From which share of all pairs on it is cheaper to multiply all of them.
_DENSE = 0.02
_ROUNDING = 2.0**-24
_DECIMALS = 12
# Lengths by which rows can be divided in float32.
_PLAIN_LENGTHS = (1e-30, 1e30)


class Rows:
    """Rows and their lengths; a score is a cosine similarity summed in float64 and rounded to float32.

    Args:
        vectors: Shape ``(n, d)``; rows need not have unit length, and one of length zero is similar to nothing (0).
            They are not copied, and may be a memory-mapped file.

    Attributes:
        values: The array itself.
        slack: How far a float32 product of two unit rows may be from their score, at most.

    Raises:
        InvalidOptionError: The shape is another, or a value is not a finite number.
    """

    def __init__(self, vectors: npt.ArrayLike) -> None:
        values = np.asanyarray(vectors)
        if values.ndim == 1 and not values.size:
            values = values.reshape(0, 0)
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise InvalidOptionError(f"Expected numbers of shape (n, d), got {values.dtype} of shape {values.shape}.")
        lengths = np.zeros(len(values))
        for block in blocks(len(values)):
            rows = np.asarray(values[block], dtype=np.float64)
            lengths[block] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        wrong = np.flatnonzero(~np.isfinite(lengths))
        if wrong.size:
            raise InvalidOptionError(f"Row {wrong[0]} of the vectors is not finite ({wrong.size} such rows).")
        self.values = values
        self._positions = np.arange(len(values))
        self._divisors = np.where(lengths > 0, lengths, 1.0)[:, None]
        lowest, highest = _PLAIN_LENGTHS
        plain = values.dtype == np.float32 and bool(((self._divisors > lowest) & (self._divisors < highest)).all())
        self._plain_divisors = self._divisors.astype(np.float32) if plain else None
        # A relative error of one rounding for each product and sum, in whatever order, for lengths, and for the score.
        # Source: Higham, Accuracy and Stability of Numerical Algorithms, section 3.1.
        self.slack = np.float32((values.shape[1] + 8) * _ROUNDING)

    def __len__(self) -> int:
        return len(self.values)

    def unit(self, some: slice | IntArray) -> FloatArray:
        """Return some of the rows with unit length, float32; those of length zero as they are."""
        if self._plain_divisors is None:
            return self.exact_unit(some).astype(np.float32)
        return np.asarray(self.values[some] / self._plain_divisors[some])

    def exact_unit(self, some: slice | IntArray) -> npt.NDArray[np.float64]:
        """Return the same, float64."""
        return np.asarray(self.values[some] / self._divisors[some], dtype=np.float64)

    def near(self, some: slice | IntArray, others: slice | IntArray, threshold: np.float32) -> npt.NDArray[np.bool_]:
        """Tell which of some rows score at least a threshold with which of others, shape ``(some, others)``."""
        products = self.unit(some) @ self.unit(others).T
        near: npt.NDArray[np.bool_] = products >= threshold - self.slack
        doubtful = np.flatnonzero(near & (products < threshold + self.slack))
        near.reshape(-1)[doubtful] = self._scores(some, others, doubtful) >= threshold
        return near

    def pairs(self, some: slice, others: slice, threshold: np.float32) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the pairs of some rows and later ones of others that score at least a threshold, and their scores."""
        products = self.unit(some) @ self.unit(others).T
        found = np.flatnonzero(products >= threshold - self.slack)
        left, right = np.divmod(found, products.shape[1])
        left, right = left + some.start, right + others.start
        if others == some:
            later = left < right
            found, left, right = found[later], left[later], right[later]
        scores = self._scores(some, others, found)
        kept = scores >= threshold
        return left[kept], right[kept], scores[kept]

    def _scores(self, some: slice | IntArray, others: slice | IntArray, pairs: IntArray) -> FloatArray:
        """Return the scores of pairs of some rows and others; a pair is its place among all of them, row by row."""
        left, right = self._positions[some], self._positions[others]
        if len(pairs) > _DENSE * len(left) * len(right):
            every = rounded(self.exact_unit(some) @ self.exact_unit(others).T)
            return every.reshape(-1)[pairs]
        scores = np.zeros(len(pairs), dtype=np.float32)
        for part in blocks(len(pairs), _PAIRS_AT_ONCE):
            row, column = np.divmod(pairs[part], len(right))
            one, other = left[row], right[column]
            sums = np.einsum("ij,ij->i", *(self.values[side].astype(np.float64) for side in (one, other)))
            scores[part] = rounded(sums / (self._divisors[one] * self._divisors[other])[:, 0])
        return scores


def blocks(length: int, size: int = BLOCK, start: int = 0) -> Iterator[slice]:
    """Give slices of a length, each of a size but for the last.

    >>> list(blocks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for begin in range(start, length, size):
        yield slice(begin, min(begin + size, length))


def rounded(scores: npt.NDArray[np.float64]) -> FloatArray:
    """Return cosine similarities as float32 in [-1, 1].

    To twelve decimals first, so that the order in which float64 sums were added makes no difference, even around zero.
    """
    return np.asarray(np.clip(np.round(scores, _DECIMALS) + 0.0, -1.0, 1.0), dtype=np.float32)
