"""What a worker splits and embeds with: an embedder of its own, with the options that were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import CollectionMismatchError
from minilm_retrieval.ingest import PassageSplitter
from minilm_retrieval.scaleout.cluster import Workers


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
