"""A worker that indexes lots of documents into a collection on a server, as one process does with all of them."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING

from minilm_retrieval.errors import MiniLMError
from minilm_retrieval.ingest import IndexReport
from minilm_retrieval.ingest.indexer import IndexRun
from minilm_retrieval.scaleout.equipment import Embedding
from minilm_retrieval.scaleout.lots import Item
from minilm_retrieval.scaleout.outcomes import Outcome
from minilm_retrieval.scaleout.place import Place
from minilm_retrieval.store.client import check_current
from minilm_retrieval.store.compatibility import check_collection

if TYPE_CHECKING:
    from chromadb import Collection


class LotIndexer:
    """Indexes one lot after the other.

    A lot that is given again, because a worker died on it, is compared with what is stored, so nothing is stored twice.

    Args:
        place: The collection.
        embedding: What to embed with.
    """

    def __init__(self, place: Place, embedding: Embedding) -> None:
        self._place = place
        self._embedding = embedding

    def __call__(self, lot: list[Item]) -> Outcome:
        """Index a lot."""
        report = IndexReport()
        try:
            check_current(self._collection)
            run = IndexRun(self._collection, self._embedding.embedder, self._embedding.splitter)
            report = run.report
            run.index(lot, show_progress=False)
        except MiniLMError as error:
            return Outcome.failed(report, error)
        return Outcome(report)

    @cached_property
    def _collection(self) -> Collection:
        collection = self._place.open()
        with warnings.catch_warnings():
            # What there is to say has been said where the run was started.
            warnings.simplefilter("ignore")
            check_collection(collection, self._embedding.embedder)
        return collection
