"""Checks of the approximate index: does it know the records, and find what exact search finds?"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minilm_retrieval.maintenance.faults import COMPACT, Examples, Fault
from minilm_retrieval.maintenance.reading import STORE_FAILURES, Vectors, require_reachable
from minilm_retrieval.store.client import store_errors

if TYPE_CHECKING:
    from chromadb import Collection

LEAST_RECALL = 0.95
_LOT = 100
# How many records more than there are the index is asked for, to see those that the store no longer has.
_SURPLUS = 1000
# Distances this near to each other, for vectors of unit length, are equal.
_TIE = 1e-5
# So many equal vectors are each other's only neighbours, and cut others off.
_MANY_EQUAL = 50


class IndexChecks:
    """Asks the index in the collection's own distance, and compares its answers with those of exact search.

    Args:
        collection: Whose index.
        space: ``"cosine"``, ``"l2"`` or ``"ip"``.
        k: How many neighbours recall is about.
        queries: Stored vectors that recall is measured with, shape ``(q, dimension)``.

    Attributes:
        looked_for: How many stored vectors were looked for by themselves.
        error: What the store said when asking failed; nothing more is asked then.
    """

    def __init__(self, collection: Collection, space: str, k: int, queries: Vectors) -> None:
        self.looked_for = 0
        self.error: str | None = None
        self.queries = queries
        self._collection = collection
        self._space = space
        self._k = k
        self._nearest = np.full((len(queries), k), np.inf)
        self._lost = Examples()
        self._unknown = Examples()
        self._hashes = array("q")
        self._stale = Examples()

    def add(self, vectors: Vectors) -> None:
        """Take a page of stored vectors, for exact search."""
        self._hashes.extend(hash(row.tobytes()) for row in vectors)
        if len(self.queries) and len(vectors):
            distances = _distances(self._space, self.queries, vectors)
            together = np.concatenate([self._nearest, distances], axis=1)
            self._nearest = np.partition(together, self._k - 1, axis=1)[:, : self._k]

    def look_for(self, ids: list[str], vectors: Vectors) -> None:
        """Ask the index for the nearest record of each of these stored vectors, which is its own or an equal one."""
        for start in range(0, len(ids), _LOT):
            lot = vectors[start : start + _LOT]
            answers = self._ask(lot, 1)
            if answers is None:
                return
            own = _own_distances(self._space, lot)
            for id, (_, distances), limit in zip(ids[start:], answers, own + _slack(self._space, lot), strict=False):
                self.looked_for += 1
                if not len(distances) or distances[0] > limit:
                    self._lost.add(id)

    def compare_with(self, stored: set[str]) -> None:
        """Ask the index for all it knows, and compare with the ids of all stored records, unless there are none."""
        answers = self._ask(self.queries[:1], len(stored) + _SURPLUS) if stored and len(self.queries) else None
        if answers is not None:
            known = set(answers[0][0])
            for id in sorted(stored - known):
                self._unknown.add(id)
            for id in sorted(known - stored):
                self._stale.add(id)

    def recall(self) -> float | None:
        """Return the mean share of the k exact neighbours that the index finds, ``None`` if nothing was asked.

        A record as near as the last of the exact neighbours counts as one of them.
        """
        shares = []
        limits = np.max(np.where(np.isfinite(self._nearest), self._nearest, -np.inf), axis=1)
        wanted = np.isfinite(self._nearest).sum(axis=1)
        for start in range(0, len(self.queries), _LOT):
            part = slice(start, start + _LOT)
            answers = self._ask(self.queries[part], self._k)
            if answers is None:
                return None
            near = limits[part] + _slack(self._space, self.queries[part])
            for (_, distances), limit, count in zip(answers, near, wanted[part], strict=True):
                shares.append(min(1.0, float((distances <= limit).sum() / max(1, count))))
        return float(np.mean(shares)) if shares else None

    def skipped(self) -> dict[str, str]:
        """Return the kinds of faults that could not be looked for, with the reason."""
        if self.error is not None:
            return dict.fromkeys(("self-hit", "recall"), "the index does not answer")
        return {} if len(self.queries) else dict.fromkeys(("self-hit", "recall"), "no vector to look for")

    def faults(self, recall: float | None) -> Iterator[Fault]:
        """Yield what is wrong."""
        if self.error is not None:
            yield Fault("index", f"The index does not answer: {self.error}", COMPACT)
        if self._unknown:
            message = (
                f"Records that the index does not reach, so that no search through it finds them: {self._unknown.total}"
            )
            yield Fault("index", f"{message}.", self._remedy(), **self._unknown.fields())
        if self._stale:
            message = f"Records in the index that are no longer stored: {self._stale.total}"
            yield Fault("index", f"{message}.", COMPACT, **self._stale.fields())
        if self._lost:
            message = f"Stored vectors that do not find their own record: {self._lost.total} of {self.looked_for}"
            yield Fault("self-hit", f"{message}.", self._remedy(), **self._lost.fields())
        if recall is not None and recall < LEAST_RECALL:
            message = f"The index finds {recall:.1%} of the {self._k} nearest, where {LEAST_RECALL:.0%} are expected"
            yield Fault("recall", f"{message}.", self._remedy())

    def _remedy(self) -> str:
        """Say what helps an index that loses records: building it anew, unless equal vectors would spoil it again."""
        _, counts = np.unique(np.frombuffer(self._hashes, dtype=np.int64), return_counts=True)
        equal = int(counts.max(initial=0))
        if equal < _MANY_EQUAL:
            return COMPACT
        return (
            f"{equal} records have one and the same vector, which cuts such an index apart. Remove what is repeated, "
            "then run `minilm compact`; or search with exact=True (`minilm search --exact`)."
        )

    def _ask(self, queries: Vectors, count: int) -> list[tuple[list[str], npt.NDArray[np.float64]]] | None:
        if self.error is not None:
            return None
        try:
            with store_errors("asking the index"):
                answer = self._collection.query(query_embeddings=list(queries), n_results=count, include=["distances"])
        except STORE_FAILURES as error:
            require_reachable(self._collection)
            self.error = str(error)
            return None
        distances = answer["distances"] or [[] for _ in queries]
        return [(ids, np.asarray(row, dtype=np.float64)) for ids, row in zip(answer["ids"], distances, strict=True)]


def _distances(space: str, queries: Vectors, vectors: Vectors) -> npt.NDArray[np.float64]:
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


def _own_distances(space: str, vectors: Vectors) -> npt.NDArray[np.float64]:
    """Return the distance of each vector to itself."""
    return 1 - _squares(vectors) if space == "ip" else np.zeros(len(vectors))


def _slack(space: str, vectors: Vectors) -> npt.NDArray[np.float64]:
    """Return how far two distances that are equal may be from each other by rounding."""
    return _TIE * (np.ones(len(vectors)) if space == "cosine" else np.maximum(1.0, _squares(vectors)))


def _squares(vectors: Vectors) -> npt.NDArray[np.float64]:
    rows = vectors.astype(np.float64)
    return np.asarray(np.einsum("ij,ij->i", rows, rows))
