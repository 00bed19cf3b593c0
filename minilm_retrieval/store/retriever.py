"""Cosine top-k over a stored collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy.typing as npt

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import records
from minilm_retrieval.store.compatibility import check_collection
from minilm_retrieval.store.counting import RecordCount
from minilm_retrieval.store.freshness import NewestRecord, read_freshly
from minilm_retrieval.store.hits import DEFAULT_K, NO_FILTER, Exact, Filter, Hit, SearchOptions, Where
from minilm_retrieval.store.limits import in_lots, most_results
from minilm_retrieval.store.ranking import (
    Ranked,
    Untrusted,
    ask_approximately,
    ask_completely,
    scan,
    unit_queries,
)
from minilm_retrieval.store.recorded import embedder_for
from minilm_retrieval.store.threads import in_store_thread
from minilm_retrieval.tokenizer import check_text, check_texts

if TYPE_CHECKING:
    from chromadb import Collection

# Up to so many matching records, the index is asked for all of them, which takes some ten milliseconds.
EXACT_BELOW = 5000
# For more queries at once, one scan of the vectors is faster than a complete answer to each.
_FEW_QUERIES = 8


class Retriever:
    """Searches one collection with one embedder; the score is always the true cosine similarity.

    Scores are computed from the stored vectors, whatever distance the collection was made with. Equal scores are
    ordered by id. May be used by many threads at once.

    Args:
        collection: An open Chroma collection, see :func:`minilm_retrieval.open_collection`.
        embedder: ``None`` for all-MiniLM-L6-v2 with the precision recorded with the collection.
        exact_below: With ``exact="auto"``, searches among at most so many records are answered completely.

    Raises:
        CollectionMismatchError: The collection was embedded by another model, or has vectors of another dimension.
        InvalidOptionError: This is no Chroma collection, or one of an asynchronous client; or no embedder.
    """

    def __init__(
        self, collection: Collection, embedder: MiniLMEmbedder | None = None, *, exact_below: int = EXACT_BELOW
    ) -> None:
        self.embedder = embedder_for(collection, embedder)
        self.collection = collection
        self._most_results = most_results(collection._client)
        # Where a query may not ask for so many, more records than that are read and compared instead.
        self._exact_below = min(exact_below, self._most_results - 1) if self._most_results else exact_below
        self._count = RecordCount(collection, self._exact_below)
        self._newest = NewestRecord(collection)
        self._check()

    def search(
        self,
        query: str,
        k: int = DEFAULT_K,
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
                makes sure that every record counts where there is a filter or the collection is small, so that
                neither loses a neighbour to the index.

        Raises:
            InvalidTextError: The query is not a string.
            InvalidOptionError: ``k``, ``min_score`` or ``exact`` is out of range.
            InvalidFilterError: Chroma refused the filter.
            StoreError: The store failed.
        """
        return self.search_many([check_text(query)], k, where, where_document, min_score, exact)[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = DEFAULT_K,
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
        k: int = DEFAULT_K,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[list[Hit]]:
        """Do as :meth:`search_many` does, for query vectors of shape ``(q, dimension)`` and of any length but zero."""
        options = SearchOptions.of(k, where, where_document, min_score, exact)
        queries = unit_queries(vectors, self.embedder.dimension)
        if queries.shape[0] == 0:
            return []
        return read_freshly(
            self.collection._client, lambda: self._read(self._rank(queries, options), options.min_score)
        )

    async def asearch(
        self,
        query: str,
        k: int = DEFAULT_K,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[Hit]:
        """Do as :meth:`search` does, in threads, so that the event loop stays free."""
        return (await self.asearch_many([check_text(query)], k, where, where_document, min_score, exact))[0]

    async def asearch_many(
        self,
        queries: Sequence[str],
        k: int = DEFAULT_K,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[list[Hit]]:
        """Do as :meth:`search_many` does, in threads, so that the event loop stays free."""
        vectors = await self.embedder.aencode(check_texts(queries))
        return await self.asearch_vectors(vectors, k, where, where_document, min_score, exact)

    async def asearch_vectors(
        self,
        vectors: npt.ArrayLike,
        k: int = DEFAULT_K,
        where: Where = None,
        where_document: Where = None,
        min_score: float | None = None,
        exact: Exact = "auto",
    ) -> list[list[Hit]]:
        """Do as :meth:`search_vectors` does, in a thread, so that the event loop stays free."""
        return await in_store_thread(self.search_vectors, vectors, k, where, where_document, min_score, exact)

    def _check(self) -> None:
        facts = read_freshly(
            self.collection._client, lambda: (check_collection(self.collection, self.embedder), frozenset())
        )
        # Distances of l2 and ip rank by cosine only where all vectors have unit length.
        self._index_ranks_by_cosine = facts.space == "cosine" or facts.unit
        self._space = facts.space
        self._was_empty = facts.empty

    def _rank(self, queries: FloatArray, options: SearchOptions) -> list[Ranked]:
        count = self._count.get(options.k)
        if count == 0:
            return [[] for _ in queries]
        if self._was_empty:
            self._check()
        self._newest.check()
        if self._most_results is not None and options.k > self._most_results:
            return scan(self.collection, queries, options.k, options.filter)
        if options.exact is False:
            answers = ask_approximately(self.collection, queries, options.k, options.filter, count)
            return [found for found, _, _ in answers]
        # Distances of inner products do not tell the lengths of vectors, so that all are read where none may be lost.
        few = self._space != "ip" and len(queries) <= _FEW_QUERIES
        if options.exact is True or ((options.filter or count <= self._exact_below) and not few):
            return scan(self.collection, queries, options.k, options.filter)
        matching = self._matching(options.filter, count)
        if matching is not None:
            return [self._rank_few(query, options, matching) for query in queries]
        if options.filter or not self._index_ranks_by_cosine:
            return scan(self.collection, queries, options.k, options.filter)
        return self._rank_many(queries, options.k, count)

    def _matching(self, filter: Filter, count: int) -> int | None:
        """Return how many records pass the filter, ``None`` where they are too many to be asked for completely."""
        if not filter:
            return count if count <= self._exact_below else None
        with store_errors("counting records", filtered=True):
            page = self.collection.get(limit=self._exact_below + 1, include=[], **filter.arguments())
        return len(page["ids"]) if len(page["ids"]) <= self._exact_below else None

    def _rank_few(self, query: FloatArray, options: SearchOptions, matching: int) -> Ranked:
        if matching == 0:
            return []
        try:
            return ask_completely(self.collection, query, options.k, options.filter, matching, self._space)
        except Untrusted:
            return scan(self.collection, query[None, :], options.k, options.filter)[0]

    def _rank_many(self, queries: FloatArray, k: int, count: int) -> list[Ranked]:
        """Ask the approximate index, and scan where its answer is not settled."""
        ranked = []
        for query, answer in zip(
            queries, ask_approximately(self.collection, queries, k, NO_FILTER, count), strict=True
        ):
            found, settled, unit = answer
            self._index_ranks_by_cosine &= unit or self._space == "cosine"
            if not settled or not self._index_ranks_by_cosine:
                found = scan(self.collection, query[None, :], k, NO_FILTER)[0]
            ranked.append(found)
        return ranked

    def _read(self, ranked: list[Ranked], min_score: float | None) -> tuple[list[list[Hit]], frozenset[str]]:
        """Read text and metadata of the winners; leave out those that are no longer there, and return their ids."""
        kept = [[hit for hit in hits if min_score is None or hit[0] >= min_score] for hits in ranked]
        wanted = sorted({id for hits in kept for _, id in hits})
        stored = {}
        for lot in in_lots(self.collection._client, wanted):
            with store_errors("reading documents"):
                page = self.collection.get(ids=list(lot), include=["documents", "metadatas"])
            for id, document, metadata in records(page["ids"], page["documents"], page["metadatas"]):
                stored[id] = (document, metadata)
        hits = [[Hit(id, score, *stored[id]) for score, id in row if id in stored] for row in kept]
        return hits, frozenset(wanted) - stored.keys()
