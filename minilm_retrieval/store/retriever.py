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
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, InvalidTextError
from minilm_retrieval.similarity import cosine_similarity, is_unit
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import records
from minilm_retrieval.store.compatibility import check_collection
from minilm_retrieval.store.exact import exact_search
from minilm_retrieval.tokenizer import check_texts

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
                "Retriever takes a collection of a synchronous Chroma client; asearch() keeps the event loop free."
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
            raise InvalidTextError(
                f"Expected the query as text, got {type(query).__name__}. For several: search_many()."
            )
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
        vectors = self.embedder.encode(check_texts(queries))
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
        options = SearchOptions(k, where or None, where_document or None, min_score, exact)
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
        small = count <= self._exact_below
        if exact is True or (exact == "auto" and (small or options.filtered or not self._index_ranks_by_cosine)):
            return self._scan(queries, options)
        return self._ask_index(queries, count, options)

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

    def _scan(self, queries: FloatArray, options: SearchOptions) -> list[list[Hit]]:
        ranked = exact_search(self.collection, queries, options.k, options.where, options.where_document)
        stored = self._read({id for hits in ranked for _, id in hits})
        # A record deleted since the scan is left out.
        return [options.cut([Hit(id, score, *stored[id]) for score, id in hits if id in stored]) for hits in ranked]

    def _read(self, ids: set[str]) -> dict[str, tuple[str | None, dict[str, Any]]]:
        """Read text and metadata of records by id."""
        wanted = sorted(ids)
        stored = {}
        for start in range(0, len(wanted), _GET_BATCH):
            with store_errors("reading documents"):
                page = self.collection.get(ids=wanted[start : start + _GET_BATCH], include=["documents", "metadatas"])
            for id, document, metadata in records(page["ids"], page["documents"], page["metadatas"]):
                stored[id] = (document, metadata)
        return stored

    def _ask_index(self, queries: FloatArray, count: int, options: SearchOptions) -> list[list[Hit]]:
        """Ask the approximate index, and scan where it cannot be trusted to have answered completely."""
        with store_errors("searching"):
            answer = self.collection.query(
                query_embeddings=list(queries),
                n_results=min(options.k + _EXTRA, count),
                where=options.where,
                where_document=options.where_document,
                include=["embeddings", "documents", "metadatas"],
            )
        results = []
        for number, query in enumerate(queries):
            hits, unit = _hits_of(answer, number, query)
            self._index_ranks_by_cosine &= self._space == "cosine" or unit
            unsettled = len(hits) < min(options.k, count) or _tie_at_end(hits, options.k, count)
            if options.exact == "auto" and (unsettled or not self._index_ranks_by_cosine):
                results += self._scan(query[None, :], options)
            else:
                results.append(options.cut(hits))
        return results


@dataclass(frozen=True)
class SearchOptions:
    """The options of one search, checked; see :meth:`Retriever.search`.

    Raises:
        InvalidOptionError: One of them is out of range.
    """

    k: int
    where: Any
    where_document: Any
    min_score: float | None
    exact: Exact

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise InvalidOptionError(f"k must be a whole number of at least 1, got {self.k!r}.")
        if self.min_score is not None and not -1.0 <= self.min_score <= 1.0:
            raise InvalidOptionError(f"min_score is a cosine similarity between -1 and 1, got {self.min_score!r}.")
        if self.exact not in (True, False, "auto"):
            raise InvalidOptionError(f"exact={self.exact!r} is not offered; expected True, False or 'auto'.")

    @property
    def filtered(self) -> bool:
        """Whether the search sees only part of the collection."""
        return self.where is not None or self.where_document is not None

    def cut(self, hits: list[Hit]) -> list[Hit]:
        """Return the first k hits that reach the minimum score."""
        return [hit for hit in hits[: self.k] if self.min_score is None or hit.score >= self.min_score]


def _hits_of(answer: Any, number: int, query: FloatArray) -> tuple[list[Hit], bool]:
    """Return one query's hits in order, and whether all their vectors have unit length."""
    ids = answer["ids"][number]
    if not ids:
        return [], True
    vectors = np.asarray(answer["embeddings"][number])
    documents, metadatas = (answer[part][number] if answer[part] else None for part in ("documents", "metadatas"))
    rows = records(ids, documents, metadatas)
    scores = cosine_similarity(query, vectors)
    hits = [Hit(id, float(score), text, metadata) for (id, text, metadata), score in zip(rows, scores, strict=True)]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id)), bool(is_unit(vectors).all())


def _tie_at_end(hits: list[Hit], k: int, count: int) -> bool:
    """Tell whether records beyond those fetched might tie with the last one kept."""
    return k <= len(hits) < count and hits[-1].score == hits[k - 1].score
