"""Three ways to the k nearest ids: every stored vector, a complete answer of the index, an approximate one.

All compute scores from stored vectors, in the same way, so that a record has the same score whichever found it.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.similarity import cosine_or_zero, is_unit
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.hits import Filter
from minilm_retrieval.store.limits import in_lots, most_results, page_size
from minilm_retrieval.store.paging import pages

if TYPE_CHECKING:
    from chromadb import Collection

# How far a float32 score may be from the exact one; candidates within it are computed exactly.
_SLACK = 1e-4
# The lengths of vectors whose cosines are within that when they are computed from float32 distances.
_SHORTEST, _LONGEST = 0.1, 10.0
# Asking the index for more than k lets ties at the end be settled by id, and makes it look further.
_EXTRA = 16

Ranked = list[tuple[float, str]]


class Untrusted(Exception):  # noqa: N818 - a signal between two functions, not an error
    """The index's answer is incomplete, or its order is not that of cosines."""


def unit_queries(vectors: npt.ArrayLike, dimension: int) -> FloatArray:
    """Return query vectors as float32 of shape ``(q, dimension)`` and unit length; those that have it stay as they are.

    Raises:
        InvalidOptionError: Another dimension, or a vector that is not finite or has length zero.
    """
    try:
        given = np.atleast_2d(np.asarray(vectors))
        if given.size == 0:
            return np.zeros((0, dimension), dtype=np.float32)
        if np.iscomplexobj(given):
            raise TypeError("complex numbers have no place in them")
        given = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidOptionError(f"Expected query vectors of {dimension} numbers each: {error}.") from error
    if given.shape[1:] != (dimension,):
        raise InvalidOptionError(f"Expected query vectors of {dimension} numbers, got the shape {given.shape}.")
    lengths = np.linalg.norm(given, axis=1)
    wrong = ~np.isfinite(lengths) | (lengths == 0)
    if wrong.any():
        raise InvalidOptionError(
            f"The query vector at position {int(np.argmax(wrong))} has the length {lengths[np.argmax(wrong)]}; "
            "expected one that points somewhere."
        )
    lengths[is_unit(given, 1e-6)] = 1.0
    return np.asarray(given / lengths[:, None], dtype=np.float32)


def scan(collection: Collection, queries: FloatArray, k: int, filter: Filter) -> list[Ranked]:
    """Compare every stored vector that passes the filter, in pages with bounded memory.

    Args:
        collection: What to search.
        queries: Shape ``(q, dimension)``.
        k: How many to keep a query.
        filter: Which records count.

    Returns:
        For each query the k best ``(score, id)``, best first, ties by id.
    """
    best: list[Ranked] = [[] for _ in queries]
    unit_queries = _unit(queries)
    for ids, vectors in pages(collection, page_size(collection._client), filter):
        rough = unit_queries @ _unit(vectors).T
        for number, query in enumerate(queries):
            rows = _promising(rough[number], k, best[number][-1][0] if len(best[number]) == k else -2.0)
            best[number] = _best(best[number] + _scored(query, [ids[row] for row in rows], vectors[rows]), k)
    return best


def ask_completely(
    collection: Collection, query: FloatArray, k: int, filter: Filter, matching: int, space: str
) -> Ranked:
    """Ask the index for all matching records, and rank the best of them exactly.

    Where it returns every one, none was lost to the approximation; and that is far faster than reading all vectors.

    Args:
        collection: What to search.
        query: Shape ``(dimension,)``, of unit length.
        k: How many to keep.
        filter: Which records count.
        matching: How many records pass the filter.
        space: The collection's distance, ``"cosine"`` or ``"l2"``; those of ``"ip"`` do not tell cosines.

    Raises:
        Untrusted: The answer is incomplete, or its distances do not tell cosines.
    """
    # Two opposite queries tell a squared Euclidean distance's cosine from its vector's length.
    queries: list[Any] = [query] if space == "cosine" else [query, -query]
    with store_errors("searching", bool(filter)):
        answer = collection.query(
            query_embeddings=queries, n_results=matching, include=["distances"], **filter.arguments()
        )
    if any(len(ids) < matching for ids in answer["ids"]):
        raise Untrusted
    ids = answer["ids"][0]
    distances = [np.asarray(row, dtype=np.float64) for row in answer["distances"] or [[]]]
    if space == "cosine":
        rough = -distances[0]
    else:
        place = {id: row for row, id in enumerate(answer["ids"][1])}
        if place.keys() != set(ids):
            raise Untrusted
        rough = _cosines(distances[0], distances[1][[place[id] for id in ids]])
    promising = [ids[row] for row in _promising(rough, k)]
    found: Ranked = []
    for lot in in_lots(collection._client, promising):
        with store_errors("reading vectors"):
            page = collection.get(ids=list(lot), include=["embeddings"])
        if len(page["ids"]) < len(lot):
            # Deleted since, or by another process that this one's index does not know of.
            raise Untrusted
        found += _scored(query, page["ids"], np.asarray(page["embeddings"], dtype=np.float32))
    return _best(found, k)


def _cosines(near: npt.NDArray[np.float64], far: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return cosines with a unit vector q from squared distances to q and -q, which are |v|^2 -+ 2 |v| cos + 1.

    Raises:
        Untrusted: A vector is so long or short that float32 distances do not tell its cosine.
    """
    lengths = np.sqrt(np.maximum((near + far) / 2 - 1, 0))
    if lengths.min() < _SHORTEST or lengths.max() > _LONGEST:
        raise Untrusted
    return np.asarray((far - near) / (4 * lengths))


def ask_approximately(
    collection: Collection, queries: FloatArray, k: int, filter: Filter, count: int
) -> list[tuple[Ranked, bool, bool]]:
    """Ask the index for the nearest records.

    Args:
        collection: What to search.
        queries: Shape ``(q, dimension)``.
        k: How many to keep a query.
        filter: Which records count.
        count: How many records the collection holds.

    Returns:
        For each query: the k best; whether that list is settled, which it is not where too few came back or where
        records beyond those asked for may tie with the last; whether all their vectors have unit length.
    """
    wanted = min(k + _EXTRA, count, most_results(collection._client) or count)
    with store_errors("searching", bool(filter)):
        answer = collection.query(
            query_embeddings=list(queries), n_results=wanted, include=["embeddings"], **filter.arguments()
        )
    results = []
    embeddings: Any = answer["embeddings"]
    for number, query in enumerate(queries):
        ids, vectors = answer["ids"][number], np.asarray(embeddings[number], dtype=np.float32)
        found = _best(_scored(query, ids, vectors), wanted)
        tied = k <= len(found) < count and found[-1][0] == found[k - 1][0]
        settled = len(found) >= min(k, count) and not tied
        results.append((found[:k], settled, bool(len(ids) == 0 or is_unit(vectors).all())))
    return results


def _scored(query: FloatArray, ids: list[str], vectors: npt.NDArray[Any]) -> Ranked:
    if not ids:
        return []
    return [(float(score), id) for score, id in zip(cosine_or_zero(query, vectors), ids, strict=True)]


def _best(found: Ranked, k: int) -> Ranked:
    return heapq.nsmallest(k, found, key=lambda hit: (-hit[0], hit[1]))


def _promising(rough: npt.NDArray[np.floating[Any]], k: int, bound: float = -np.inf) -> list[int]:
    """Return the rows that may belong to the k best of these, and reach the bound."""
    if len(rough) > k:
        bound = max(bound, float(np.partition(rough, -k)[-k]))
    return [int(row) for row in np.flatnonzero(rough >= bound - _SLACK)]


def _unit(vectors: npt.NDArray[Any]) -> FloatArray:
    rows = np.asarray(vectors, dtype=np.float32)
    # The square of a float32 number may be too large or too small for another.
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))[:, None]
    units = np.divide(rows, lengths, out=np.zeros(rows.shape), where=lengths > 0)
    return np.asarray(units, dtype=np.float32)
