"""Checks of the approximate index: does it know the records, and find what exact search finds?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.maintenance.faults import COMPACT, Examples, Fault
from minilm_retrieval.maintenance.reading import DamageError, attempt, stacked
from minilm_retrieval.maintenance.records import Record
from minilm_retrieval.store.limits import most_results

if TYPE_CHECKING:
    from chromadb import Collection

LEAST_RECALL = 0.95
_LOT = 100
# How many records more than there are the index is asked for, to see those that the store no longer has.
_SURPLUS = 1000
# Distances this near to each other, for vectors of unit length, are equal.
_TIE = 1e-5
# So many equal vectors among those that recall is measured with are each other's only neighbours, and cut others off.
_MANY_EQUAL = 5
# Of so many records, the index is asked for all of them at once.
COMPARED_BELOW = 100_000

Answer = tuple[list[str], npt.NDArray[np.float64]]


class IndexChecks:
    """Asks the index in the collection's own distance, and compares its answers with those of exact search.

    Args:
        collection: Whose index.
        space: ``"cosine"``, ``"l2"`` or ``"ip"``.
        k: How many neighbours recall is about.
        queries: Stored vectors that recall is measured with, shape ``(q, dimension)``.

    Attributes:
        self_hit_queries: How many stored vectors were looked for by themselves.
        recall: The mean share of the k exact neighbours that the index finds, ``None`` if not measured.
    """

    def __init__(self, collection: Collection, space: str, k: int, queries: FloatArray) -> None:
        self.self_hit_queries = 0
        self.recall: float | None = None
        self._error = ""
        self._not_compared = ""
        self.queries = queries
        self._collection = collection
        self._space = space
        self._k = k
        self._nearest = np.full((len(queries), k), np.inf)
        self._lost = Examples()
        self._unknown = Examples()
        self._stale = Examples()

    def add(self, page: list[Record]) -> None:
        """Take a page of records, for exact search."""
        vectors = stacked(page)
        if len(self.queries) and len(vectors):
            distances = _distances(self._space, self.queries, vectors)
            together = np.concatenate([self._nearest, distances], axis=1)
            self._nearest = np.partition(together, self._k - 1, axis=1)[:, : self._k]

    def measure_self_hits(self, sampled: list[Record]) -> None:
        """Ask the index for the nearest record of each of these vectors, which is its own or an equal one."""
        vectors = stacked(sampled)
        limits = _own_distances(self._space, vectors) + _slack(self._space, vectors)
        for record, limit, (_, distances) in zip(sampled, limits, self._answers(vectors, 1), strict=False):
            self.self_hit_queries += 1
            if not len(distances) or distances[0] > limit:
                self._lost.add(record.id)

    def compare_ids(self, stored: set[str] | None) -> None:
        """Ask the index for all it knows, and compare with the ids of all stored records.

        Args:
            stored: The ids; ``None`` where they are more than :data:`COMPARED_BELOW`, so that nothing is compared.
        """
        if stored is None:
            self._not_compared = f"which records it knows is compared up to {COMPARED_BELOW:,} of them"
        elif stored and not len(self.queries):
            self._not_compared = "no vector to ask it with"
        elif stored and (most := most_results(self._collection._client)) and len(stored) + _SURPLUS > most:
            self._not_compared = f"the store gives {most} results of a query, not all that the index knows"
        elif stored:
            try:
                ((ids, _),) = self._query(self.queries[:1], len(stored) + _SURPLUS)
            except DamageError as error:
                self._not_compared = f"it does not say which records it knows: {error}"
                return
            for id in sorted(stored.difference(ids)):
                self._unknown.add(id)
            for id in sorted(set(ids) - stored):
                self._stale.add(id)

    def measure_recall(self) -> None:
        """Compare the neighbours that the index finds with the exact ones, when all vectors have been taken.

        A record as near as the last of the exact neighbours counts as one of them.
        """
        shares = []
        finite = np.isfinite(self._nearest)
        limits = np.max(np.where(finite, self._nearest, -np.inf), axis=1) + _slack(self._space, self.queries)
        answers = self._answers(self.queries, self._k)
        for limit, wanted, (_, distances) in zip(limits, finite.sum(axis=1), answers, strict=False):
            shares.append(min(1.0, float((distances <= limit).sum() / max(1, wanted))))
        self.recall = float(np.mean(shares)) if shares and not self._error else None

    def skipped(self) -> dict[str, str]:
        """Return the kinds of faults that could not be looked for, with the reason."""
        skipped = {"index": self._not_compared} if self._not_compared else {}
        if self._error or not len(self.queries):
            reason = "the index does not answer" if self._error else "no vector to look for"
            skipped |= dict.fromkeys(("self-hit", "recall"), reason)
        return skipped

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong."""
        if self._error:
            yield Fault("index", f"The index does not answer: {self._error}", COMPACT)
        if self._unknown:
            message = (
                f"Records that the index does not reach, so that no search through it finds them: {self._unknown.total}"
            )
            yield Fault("index", f"{message}.", self._remedy(), **self._unknown.fields())
        if self._stale:
            message = f"Records in the index that are no longer stored: {self._stale.total}"
            yield Fault("index", f"{message}.", COMPACT, **self._stale.fields())
        if self._lost:
            message = f"Stored vectors that do not find their own record: {self._lost.total} of {self.self_hit_queries}"
            yield Fault("self-hit", f"{message}.", self._remedy(), **self._lost.fields())
        if self.recall is not None and self.recall < LEAST_RECALL:
            message = (
                f"The index finds {self.recall:.1%} of the {self._k} nearest, where {LEAST_RECALL:.0%} are expected"
            )
            yield Fault("recall", f"{message}.", self._remedy())

    def _remedy(self) -> str:
        """Say what helps an index that loses records: building it anew, unless equal vectors would spoil it again."""
        _, counts = np.unique(self.queries, axis=0, return_counts=True)
        equal = int(counts.max(initial=0))
        if equal < _MANY_EQUAL:
            return COMPACT
        return (
            f"{equal} of {len(self.queries)} sampled records have one and the same vector, which cuts such an index "
            "apart. Remove what is repeated, then run `minilm compact{collection}`; or search with exact=True "
            "(`minilm search --exact`)."
        )

    def _answers(self, queries: FloatArray, count: int) -> Iterator[Answer]:
        """Ask in lots, up to the first that is not answered."""
        for start in range(0, 0 if self._error else len(queries), _LOT):
            try:
                yield from self._query(queries[start : start + _LOT], count)
            except DamageError as error:
                self._error = str(error)
                return

    def _query(self, queries: FloatArray, count: int) -> list[Answer]:
        answer = attempt(
            self._collection,
            "asking the index",
            lambda: self._collection.query(query_embeddings=list(queries), n_results=count, include=["distances"]),
        )
        distances = answer["distances"] or [[] for _ in queries]
        return [(ids, np.asarray(row, dtype=np.float64)) for ids, row in zip(answer["ids"], distances, strict=True)]


def _distances(space: str, queries: FloatArray, vectors: FloatArray) -> npt.NDArray[np.float64]:
    """Return Chroma's distances, shape ``(q, n)``: 1 - cosine, squared Euclidean, or 1 - dot product."""
    left, right = queries.astype(np.float64), vectors.astype(np.float64)
    products = left @ right.T
    squares = np.einsum("ij,ij->i", left, left)[:, None], np.einsum("ij,ij->i", right, right)[None, :]
    if space == "l2":
        distances = squares[0] + squares[1] - 2 * products
    elif space == "ip":
        distances = 1 - products
    else:
        lengths = np.sqrt(squares[0] * squares[1])
        distances = 1 - np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.where(np.isfinite(distances), distances, np.inf)


def _own_distances(space: str, vectors: FloatArray) -> npt.NDArray[np.float64]:
    """Return the distance of each vector to itself."""
    return 1 - _squares(vectors) if space == "ip" else np.zeros(len(vectors))


def _slack(space: str, vectors: FloatArray) -> npt.NDArray[np.float64]:
    """Return how far two distances that are equal may be from each other by rounding."""
    return _TIE * (np.ones(len(vectors)) if space == "cosine" else np.maximum(1.0, _squares(vectors)))


def _squares(vectors: FloatArray) -> npt.NDArray[np.float64]:
    rows = vectors.astype(np.float64)
    return np.asarray(np.einsum("ij,ij->i", rows, rows))
