"""Cosine top-k over a stored collection."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError, InvalidTextError
from minilm_retrieval.similarity import cosine_similarity, is_unit
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.compatibility import check_collection
from minilm_retrieval.store.exact import Ranked, exact_search

if TYPE_CHECKING:
    from chromadb import Collection

Exact = bool | Literal["auto"]
Where = Mapping[str, Any] | None

# Scanning so many vectors takes some tens of milliseconds; above it the approximate index answers unless asked not to.
EXACT_BELOW = 2000
# Asking the index for more than k lets ties at the end be settled by id, and makes it look further.
_EXTRA = 16
_GET_BATCH = 1000


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        id: The record's id.
        score: Cosine similarity with the query, in [-1, 1].
        document: The stored text, ``None`` where none is stored.
        metadata: The stored metadata, empty where none is stored.
    """

    id: str
    score: float
    document: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Retriever:
    """Searches one collection with one embedder; the score is always the true cosine similarity.

    Scores are computed from the stored vectors, whatever distance the collection was made with. Equal scores are
    ordered by id. May be used by many threads at once.

    Args:
        collection: An open Chroma collection, see :func:`minilm_retrieval.open_collection`.
        embedder: ``None`` for all-MiniLM-L6-v2 with its defaults.
        exact_below: With ``exact="auto"``, collections of at most so many records are scanned completely.

    Raises:
        CollectionMismatchError: The collection was embedded by another model, or has vectors of another dimension.
        InvalidOptionError: The collection belongs to an asynchronous client.
    """

    def __init__(
        self, collection: Collection, embedder: MiniLMEmbedder | None = None, *, exact_below: int = EXACT_BELOW
    ) -> None:
        if inspect.iscoroutinefunction(getattr(collection, "get", None)):
            raise InvalidOptionError(
                "Retriever takes a collection of a synchronous Chroma client; its asearch() does not block the event loop."
            )
        self.collection = collection
        self.embedder = embedder if embedder is not None else MiniLMEmbedder()
        self._exact_below = exact_below
        facts = check_collection(collection, self.embedder)
        # Distances of l2 and ip rank by cosine only where all vectors have unit length.
        self._index_ranks_by_cosine = facts.space == "cosine" or facts.unit
        self._space = facts.space

    def search(
        self,
        query: str,
        k: int = 10,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[Hit]:
        """Return the k records nearest to a query, best first.

        Args:
            query: The text to look for.
            k: How many; fewer come back where the collection, the filter or ``min_score`` leaves fewer.
            where: Chroma's metadata filter.
            where_document: Chroma's document filter.
            min_score: Leave out hits whose cosine similarity is below this.
            exact: ``True`` compares every stored vector, in pages; ``False`` asks the approximate index; ``"auto"``
                compares every vector where there is a filter or the collection is small, so that neither loses a
                neighbour to the index.

        Raises:
            InvalidTextError: The query is not a string.
            InvalidOptionError: ``k``, ``min_score`` or ``exact`` is out of range.
            InvalidFilterError: Chroma refused the filter.
            StoreError: The store failed.
        """
        if not isinstance(query, str):
            raise InvalidTextError(f"Expected the query as text, got {type(query).__name__}. For several: search_many().")
        return self.search_many([query], k, where, where_document, min_score, exact)[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[list[Hit]]:
        """Do as :meth:`search` does for several queries, in one embedding pass; one list of hits a query."""
        _check_options(k, min_score, exact)
        vectors = np.atleast_2d(self.embedder.encode(queries if isinstance(queries, str) else list(queries)))
        if isinstance(queries, str):
            raise InvalidTextError("search_many() takes a list of queries; for one query use search().")
        return self.search_vectors(vectors, k, where, where_document, min_score, exact)

    def search_vectors(
        self,
        vectors: npt.ArrayLike,
        k: int = 10,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[list[Hit]]:
        """Do as :meth:`search_many` does, for query vectors of shape ``(q, dimension)``."""
        _check_options(k, min_score, exact)
        queries = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
        if queries.shape[0] == 0:
            return []
        if queries.shape[1] != self.embedder.dimension:
            raise InvalidOptionError(
                f"Expected query vectors of {self.embedder.dimension} numbers, got {queries.shape[1]}."
            )
        with store_errors("counting records"):
            count = self.collection.count()
        if count == 0:
            return [[] for _ in queries]
        if exact is True or (exact == "auto" and (where or where_document or count <= self._exact_below)):
            return self._scan(queries, k, where, where_document, min_score)
        if exact == "auto" and not self._index_ranks_by_cosine:
            return self._scan(queries, k, where, where_document, min_score)
        return self._ask_index(queries, k, count, where, where_document, min_score, exact)

    async def asearch(
        self,
        query: str,
        k: int = 10,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[Hit]:
        """Do as :meth:`search` does, in a thread, so that the event loop stays free."""
        return await asyncio.to_thread(self.search, query, k, where, where_document, min_score, exact)

    async def asearch_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[list[Hit]]:
        """Do as :meth:`search_many` does, in a thread, so that the event loop stays free."""
        return await asyncio.to_thread(self.search_many, queries, k, where, where_document, min_score, exact)

    def _scan(
        self, queries: npt.NDArray[np.float32], k: int, where: Where, where_document: Where, min_score: float | None
    ) -> list[list[Hit]]:
        ranked = exact_search(self.collection, queries, k, where, where_document)
        kept = [[hit for hit in hits if min_score is None or hit[0] >= min_score] for hits in ranked]
        return self._fetch(kept)

    def _fetch(self, ranked: list[Ranked]) -> list[list[Hit]]:
        """Read text and metadata of the winners; a record deleted meanwhile is left out."""
        ids = list(dict.fromkeys(id for hits in ranked for _, id in hits))
        records: dict[str, tuple[str | None, Mapping[str, Any]]] = {}
        for start in range(0, len(ids), _GET_BATCH):
            with store_errors("reading documents"):
                page = self.collection.get(ids=ids[start : start + _GET_BATCH], include=["documents", "metadatas"])
            documents = page["documents"] or [None] * len(page["ids"])
            metadatas = page["metadatas"] or [None] * len(page["ids"])
            for id, document, metadata in zip(page["ids"], documents, metadatas, strict=True):
                records[id] = (document, dict(metadata or {}))
        return [[Hit(id, score, *records[id]) for score, id in hits if id in records] for hits in ranked]

    def _ask_index(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        count: int,
        where: Where,
        where_document: Where,
        min_score: float | None,
        exact: Exact,
    ) -> list[list[Hit]]:
        """Ask the approximate index, and scan where it cannot be trusted to have answered completely."""
        wanted = min(k + _EXTRA, count)
        with store_errors("searching"):
            answer = self.collection.query(
                query_embeddings=list(queries),
                n_results=wanted,
                where=dict(where) if where else None,
                where_document=dict(where_document) if where_document else None,  # type: ignore[arg-type]
                include=["embeddings", "documents", "metadatas"],
            )
        results = []
        for number, query in enumerate(queries):
            hits, unit = _hits_of(answer, number, query)
            unsettled = len(hits) < min(k, count) or _tie_at_end(hits, k, count)
            if exact == "auto" and (unsettled or (self._space != "cosine" and not unit)):
                self._index_ranks_by_cosine &= self._space == "cosine" or unit
                results += self._scan(query[None, :], k, None, None, min_score)
            else:
                results.append([hit for hit in hits[:k] if min_score is None or hit.score >= min_score])
        return results


def _hits_of(answer: Any, number: int, query: npt.NDArray[np.float32]) -> tuple[list[Hit], bool]:
    """Return one query's hits in order, and whether all their vectors have unit length."""
    ids = answer["ids"][number]
    if not ids:
        return [], True
    vectors = np.asarray(answer["embeddings"][number])
    scores = cosine_similarity(query, vectors)
    documents = answer["documents"][number] if answer["documents"] else [None] * len(ids)
    metadatas = answer["metadatas"][number] if answer["metadatas"] else [None] * len(ids)
    hits = [
        Hit(id, float(score), document, dict(metadata or {}))
        for id, score, document, metadata in zip(ids, scores, documents, metadatas, strict=True)
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id)), bool(is_unit(vectors).all())


def _tie_at_end(hits: list[Hit], k: int, count: int) -> bool:
    """Tell whether records beyond those fetched might tie with the last one kept."""
    return k <= len(hits) < count and hits[-1].score == hits[k - 1].score


def _check_options(k: int, min_score: float | None, exact: Exact) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InvalidOptionError(f"k must be a whole number of at least 1, got {k!r}.")
    if min_score is not None and not -1.0 <= min_score <= 1.0:
        raise InvalidOptionError(f"min_score is a cosine similarity between -1 and 1, got {min_score!r}.")
    if exact not in (True, False, "auto"):
        raise InvalidOptionError(f"exact={exact!r} is not offered; expected True, False or 'auto'.")
