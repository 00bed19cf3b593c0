"""Exact cosine search: every stored vector, in pages, with bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minilm_retrieval.similarity import cosine_similarity
from minilm_retrieval.store.collection import pages

if TYPE_CHECKING:
    from chromadb import Collection

_PAGE = 1000
# How far a float32 matrix product may be from the exact cosine; candidates within it are computed exactly.
_SLACK = 1e-5

Ranked = list[tuple[float, str]]


def exact_search(
    collection: Collection,
    queries: npt.NDArray[np.float32],
    k: int,
    where: Mapping[str, Any] | None = None,
    where_document: Mapping[str, Any] | None = None,
) -> list[Ranked]:
    """Return the k best ``(score, id)`` of the whole collection for each query, best first, ties by id.

    Args:
        collection: What to scan.
        queries: Shape ``(q, dimension)``.
        k: How many to keep a query.
        where: Chroma's metadata filter.
        where_document: Chroma's document filter.
    """
    best: list[Ranked] = [[] for _ in queries]
    for ids, vectors in pages(collection, _PAGE, where, where_document):
        rough = _unit(queries) @ _unit(vectors).T
        for number, query in enumerate(queries):
            rows = _candidates(rough[number], best[number], k)
            scores = cosine_similarity(query, vectors[rows])
            merged = best[number] + [(float(score), ids[row]) for score, row in zip(scores, rows, strict=True)]
            best[number] = heapq.nsmallest(k, merged, key=lambda hit: (-hit[0], hit[1]))
    return best


def _candidates(rough: npt.NDArray[np.float32], best: Ranked, k: int) -> list[int]:
    """Return the rows that may belong to the k best."""
    bound = best[-1][0] if len(best) == k else -2.0
    if len(rough) > k:
        bound = max(bound, float(np.partition(rough, -k)[-k]))
    return [int(row) for row in np.flatnonzero(rough >= bound - _SLACK)]


def _unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    rows = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))
