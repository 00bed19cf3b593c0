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
from minilm_retrieval.similarity import cosine_similarity, is_unit
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import pages
from minilm_retrieval.store.hits import Filter
from minilm_retrieval.store.limits import in_lots, most_results, page_size

if TYPE_CHECKING:
    from chromadb import Collection

# How far a float32 score may be from the exact one; candidates within it are computed exactly.
_SLACK = 1e-4
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
        queries = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InvalidOptionError(f"Expected query vectors of {dimension} numbers each: {error}.") from error
    if queries.size == 0:
        return np.zeros((0, dimension), dtype=np.float32)
    if queries.shape[1:] != (dimension,):
        raise InvalidOptionError(f"Expected query vectors of {dimension} numbers, got the shape {queries.shape}.")
    lengths = np.linalg.norm(queries, axis=1)
    wrong = ~np.isfinite(lengths) | (lengths == 0)
    if wrong.any():
        raise InvalidOptionError(
            f"The query vector at position {int(np.argmax(wrong))} has the length {lengths[np.argmax(wrong)]}; "
            "expected one that points somewhere."
        )
    return np.where(is_unit(queries, 1e-6)[:, None], queries, _unit(queries))


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
    collection: Collection, query: FloatArray, k: int, filter: Filter, matching: int, unit_needed: bool
) -> Ranked:
    """Ask the index for all matching records, and rank the best of them exactly.

    Where it returns every one, none was lost to the approximation; and that is far faster than reading all vectors.

    Args:
        collection: What to search.
        query: Shape ``(dimension,)``.
        k: How many to keep.
        filter: Which records count.
        matching: How many records pass the filter.
        unit_needed: Whether distances rank by cosine only for vectors of unit length.

    Raises:
        Untrusted: The answer is incomplete, or lengths other than 1 spoil its order.
    """
    with store_errors("searching"):
        answer = collection.query(
            query_embeddings=list(query[None, :]), n_results=matching, include=["distances"], **filter.arguments()
        )
    ids = answer["ids"][0]
    if len(ids) < matching:
        raise Untrusted
    distances = np.asarray((answer["distances"] or [[]])[0], dtype=np.float32)
    promising = [ids[row] for row in _promising(-distances, k)]
    found: Ranked = []
    for lot in in_lots(collection._client, promising):
        with store_errors("reading vectors"):
            page = collection.get(ids=list(lot), include=["embeddings"])
        vectors = np.asarray(page["embeddings"], dtype=np.float32)
        if unit_needed and not is_unit(vectors).all():
            raise Untrusted
        found += _scored(query, page["ids"], vectors)
    return _best(found, k)


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
    with store_errors("searching"):
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
    return [(float(score), id) for score, id in zip(cosine_similarity(query, vectors), ids, strict=True)]


def _best(found: Ranked, k: int) -> Ranked:
    return heapq.nsmallest(k, found, key=lambda hit: (-hit[0], hit[1]))


def _promising(rough: npt.NDArray[np.float32], k: int, bound: float = -np.inf) -> list[int]:
    """Return the rows that may belong to the k best of these, and reach the bound."""
    if len(rough) > k:
        bound = max(bound, float(np.partition(rough, -k)[-k]))
    return [int(row) for row in np.flatnonzero(rough >= bound - _SLACK)]


def _unit(vectors: npt.NDArray[Any]) -> FloatArray:
    rows = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))
