"""The searches that are compared: every document, Chroma's approximate index, and a stored collection."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import DocumentError
from minilm_retrieval.evaluation.records import listed
from minilm_retrieval.similarity import top_k
from minilm_retrieval.store import Hit, Retriever, connect, open_collection
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.hits import NO_FILTER
from minilm_retrieval.store.ranking import ask_approximately

if TYPE_CHECKING:
    from chromadb import Collection as ChromaCollection

Found = list[dict[str, float]]
"""Of each query, the documents that a search found, by id, with their cosine similarities."""
_QUERIES_AT_ONCE = 100
_NAME = "evaluation"
_SHOWN = 3


class ExactSearch:
    """Compares each query with every document, of which it is given some at a time.

    Args:
        queries: Shape ``(q, d)``.
        depth: How many documents to keep a query.
    """

    def __init__(self, queries: FloatArray, depth: int) -> None:
        self._queries = queries
        self._depth = depth
        self._positions = np.zeros((len(queries), 0), dtype=np.int64)
        self._scores = np.zeros((len(queries), 0), dtype=np.float32)

    def add(self, start: int, vectors: FloatArray) -> None:
        """Take the vectors of the documents from position ``start`` on, shape ``(n, d)``."""
        positions, scores = top_k(self._queries, vectors, self._depth)
        positions = np.concatenate([self._positions, positions + start], axis=1)
        scores = np.concatenate([self._scores, scores], axis=1)
        # Earlier documents come first, so that a stable sort leaves equal ones in their order.
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._depth]
        self._positions = np.take_along_axis(positions, order, axis=1)
        self._scores = np.take_along_axis(scores, order, axis=1)

    def found(self, ids: Sequence[str]) -> Found:
        """Return what was found, given the ids of all documents."""
        return [
            {ids[position]: float(score) for position, score in zip(*row, strict=True)}
            for row in zip(self._positions, self._scores, strict=True)
        ]


class IndexSearch:
    """Asks a Chroma collection's approximate index.

    Args:
        collection: An empty one.
    """

    def __init__(self, collection: ChromaCollection) -> None:
        self._collection = collection

    def add(self, ids: Sequence[str], vectors: FloatArray) -> None:
        """Store the vectors of documents, shape ``(n, d)``."""
        with store_errors("storing vectors to evaluate"):
            self._collection.add(ids=list(ids), embeddings=list(vectors))

    def found(self, queries: FloatArray, depth: int) -> Found:
        """Return what the index finds for queries, shape ``(q, d)``."""
        with store_errors("counting records"):
            count = self._collection.count()
        found: Found = []
        for some in _lots(queries):
            for ranked, _, _ in ask_approximately(self._collection, some, depth, NO_FILTER, count):
                found.append({id: score for score, id in ranked})
        return found


@contextmanager
def temporary_index() -> Iterator[IndexSearch]:
    """Make a Chroma database in a temporary directory, with a collection as ``minilm index`` makes them.

    Raises:
        MissingExtraError: chromadb is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="minilm-eval-", ignore_cleanup_errors=True) as directory:
        client = connect(path=directory, create=True)
        yield IndexSearch(open_collection(_NAME, client=client, create=True))
        # The index is in memory for as long as the collection exists.
        client.delete_collection(_NAME)


class StoredSearch:
    """Searches a stored collection for documents, of each of which it may hold one record or several passages.

    A record stands for the document of its own id; or of the id in the metadata field that is named; or, if it was
    indexed from a file of records, as ``minilm index corpus.jsonl`` does, of that record's id. A document's score is
    that of its best passage.

    Args:
        retriever: Over the collection.
        documents: The ids of all documents.
        document_field: Where the metadata have a document's id.
    """

    def __init__(self, retriever: Retriever, documents: Collection[str], document_field: str | None) -> None:
        self._retriever = retriever
        self._documents = documents
        self._field = document_field

    def found(self, queries: FloatArray, depth: int, exact: bool, advance: Callable[[int], None]) -> Found:
        """Return what a search finds for queries, shape ``(q, d)``.

        Raises:
            DocumentError: Nothing that was found is a document.
        """
        found: Found = []
        for some in _lots(queries):
            found.extend(self._some(some, depth, exact))
            advance(len(some))
        if not any(id in self._documents for one in found for id in one):
            name = self._retriever.collection.name
            shown = listed([id for one in found for id in one][:_SHOWN])
            raise DocumentError(
                f"No record found in the collection {name!r} stands for a document of the corpus: the first ones are "
                f"{shown or 'none'}, and the corpus has {listed(list(self._documents)[:_SHOWN])}. If the metadata say "
                "which document a record is of, name the field with document_field= or --document-field."
            )
        return found

    def _some(self, queries: FloatArray, depth: int, exact: bool) -> Found:
        """Ask for more passages until there are enough documents."""
        with store_errors("counting records"):
            count = self._retriever.collection.count()
        wanted = depth
        while True:
            hits = self._retriever.search_vectors(queries, wanted, exact=exact)
            found = [self._of_documents(one, depth) for one in hits]
            if wanted >= count or all(len(one) >= depth for one in found):
                return found
            wanted *= 2

    def _of_documents(self, hits: list[Hit], depth: int) -> dict[str, float]:
        best: dict[str, float] = {}
        for hit in hits:
            if len(best) == depth:
                break
            best.setdefault(self._document(hit), hit.score)
        return best

    def _document(self, hit: Hit) -> str:
        if self._field is not None:
            return str(hit.metadata.get(self._field, hit.id))
        if hit.id not in self._documents:
            record = str(hit.metadata.get("source", "")).rpartition("#")[2]
            if record in self._documents:
                return record
        return hit.id


def _lots(queries: FloatArray) -> Iterator[FloatArray]:
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        yield queries[start : start + _QUERIES_AT_ONCE]
