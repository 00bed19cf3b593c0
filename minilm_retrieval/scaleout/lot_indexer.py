"""A worker that indexes lots of documents into a collection on a server, as one process does with all of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import CollectionMismatchError, MiniLMError
from minilm_retrieval.ingest import IndexReport, PassageSplitter
from minilm_retrieval.ingest.indexer import IndexRun
from minilm_retrieval.scaleout.cluster import Workers
from minilm_retrieval.scaleout.lots import Item
from minilm_retrieval.scaleout.outcomes import Outcome
from minilm_retrieval.scaleout.place import Place
from minilm_retrieval.store.client import check_current
from minilm_retrieval.store.compatibility import check_collection

if TYPE_CHECKING:
    from chromadb import Collection


@dataclass(frozen=True)
class Splitting:
    """How documents are split, see :class:`minilm_retrieval.ingest.PassageSplitter`."""

    passage_tokens: int | None = None
    passage_overlap: int = 0
    metadata_policy: str = "convert"

    def splitter(self, embedder: MiniLMEmbedder) -> PassageSplitter:
        """Return the splitter.

        Raises:
            InvalidOptionError: A number is out of range, or the policy is unknown.
        """
        return PassageSplitter(embedder, self.passage_tokens, self.passage_overlap, self.metadata_policy)


@dataclass
class Embedding:
    """What a worker embeds with.

    Attributes:
        like: Has the options; the worker has an embedder of its own.
        workers: Say which share of the machine is the worker's.
        splitting: How documents are split.
        fingerprint: Of the model that it has to be.
    """

    like: MiniLMEmbedder
    workers: Workers
    splitting: Splitting
    fingerprint: str

    @cached_property
    def embedder(self) -> MiniLMEmbedder:
        """This process's embedder.

        Raises:
            CollectionMismatchError: This machine has another model.
        """
        embedder = self.workers.embedder(self.like)
        if embedder.fingerprint != self.fingerprint:
            raise CollectionMismatchError(
                f"This machine has the model of fingerprint {embedder.fingerprint} ({embedder.model_origin()}), where "
                f"{self.fingerprint} was asked for. Give all machines the same model."
            )
        return embedder

    @cached_property
    def splitter(self) -> PassageSplitter:
        """This process's splitter."""
        return self.splitting.splitter(self.embedder)


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
