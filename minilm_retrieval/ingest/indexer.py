"""Documents into a collection: split, embed what is new, write, and drop what a document no longer says."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest.documents import Document, Failure
from minilm_retrieval.ingest.passages import ID_PREFIX, Passage, PassageSplitter
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.changes import Changes
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.compatibility import check_collection

if TYPE_CHECKING:
    from chromadb import Collection

_READ_BATCH = 1000


@dataclass
class IndexReport:
    """What indexing did.

    Attributes:
        added: Documents that were not in the collection.
        updated: Documents of which something had changed.
        unchanged: Documents of which nothing had changed; nothing was embedded for them.
        deleted: Documents removed because they were no longer given (``prune=True``).
        failed: Sources that were not indexed, with the reason.
        passages_written: Passages embedded and stored.
        passages_deleted: Passages removed.
        seconds: Wall time.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: list[Failure] = field(default_factory=list)
    passages_written: int = 0
    passages_deleted: int = 0
    seconds: float = 0.0


def index_documents(
    collection: Collection,
    documents: Iterable[Document | Failure],
    embedder: MiniLMEmbedder | None = None,
    *,
    passage_tokens: int | None = None,
    prune: bool = False,
    show_progress: bool = False,
) -> IndexReport:
    """Split, embed and store documents, in bounded memory.

    A document is known by its id. Passages that the collection holds already are not embedded again; new ones are
    written before old ones are removed, so a document is never missing in between.

    Args:
        collection: Where to, see :func:`minilm_retrieval.open_collection`.
        documents: Any iterable, read as it is indexed. A :class:`Failure` among them goes to the report, and what the
            collection holds of its source is kept.
        embedder: ``None`` for all-MiniLM-L6-v2 with its defaults.
        passage_tokens: Most tokens of a passage; ``None`` for all that the model reads.
        prune: Remove documents, indexed by this library, that are not among those given.
        show_progress: Show a progress bar on standard error.

    Returns:
        The report. Documents that cannot be stored are in ``failed`` and do not stop the others.

    Raises:
        CollectionMismatchError: The collection was embedded by another model.
        StoreError: The store failed; what was written before stays, and the next run continues from there.
    """
    return _Indexer(collection, embedder or MiniLMEmbedder(), passage_tokens).run(documents, prune, show_progress)


@dataclass
class _Pending:
    """A document on its way: passages still to be written, and ids to remove when they are."""

    remaining: int
    stale: list[str]


class _Indexer:
    def __init__(self, collection: Collection, embedder: MiniLMEmbedder, passage_tokens: int | None) -> None:
        check_collection(collection, embedder)
        self.collection = collection
        self.embedder = embedder
        self.splitter = PassageSplitter(embedder, passage_tokens)
        self.report = IndexReport()
        self.sources: set[str] = set()
        self.queue: deque[tuple[Passage, _Pending]] = deque()
        self.batch_size = collection._client.get_max_batch_size()
        self.changes = Changes()

    def run(self, documents: Iterable[Document | Failure], prune: bool, show_progress: bool) -> IndexReport:
        started = time.perf_counter()
        with progress_bar("Writing", None, show_progress, "passages") as advance, self.changes:
            for _, vectors in self.embedder.encode_stream(self.new_passages(documents)):
                for start in range(0, len(vectors), self.batch_size):
                    rows = vectors[start : start + self.batch_size]
                    entries = [self.queue.popleft() for _ in range(len(rows))]
                    self.changes.submit(partial(self.write, entries, rows))
                advance(len(vectors))
        if prune:
            self.prune()
        self.report.seconds = time.perf_counter() - started
        return self.report

    def new_passages(self, documents: Iterable[Document | Failure]) -> Iterator[str]:
        """Yield the texts of passages that the collection lacks, and queue what belongs to them."""
        for document in documents:
            if isinstance(document, Failure):
                self.report.failed.append(document)
                continue
            try:
                passages = {passage.id: passage for passage in self.splitter.split(document)}
                if document.id in self.sources:
                    raise DocumentError("a document of the same id was given before in this run; ids must be unique")
            except DocumentError as error:
                self.report.failed.append(Failure(str(document.id), str(error)))
                continue
            self.sources.add(document.id)
            stored = self.stored_ids(document.id)
            new = [passage for id, passage in passages.items() if id not in stored]
            stale = sorted(stored - set(passages))
            self.count(bool(stored), bool(new or stale))
            if not new:
                if stale:
                    self.changes.submit(partial(self.delete, stale))
                continue
            pending = _Pending(len(new), stale)
            for passage in new:
                self.queue.append((passage, pending))
                yield passage.text

    def stored_ids(self, source: str) -> set[str]:
        """Return the ids of the passages that this library stored for a document."""
        found: set[str] = set()
        offset = 0
        while True:
            with store_errors("reading what is indexed already"):
                ids = self.collection.get(where={"source": source}, limit=_READ_BATCH, offset=offset, include=[])["ids"]
            found.update(id for id in ids if id.startswith(ID_PREFIX))
            if len(ids) < _READ_BATCH:
                return found
            offset += _READ_BATCH

    def count(self, stored: bool, changed: bool) -> None:
        if not stored:
            self.report.added += 1
        elif changed:
            self.report.updated += 1
        else:
            self.report.unchanged += 1

    def write(self, entries: list[tuple[Passage, _Pending]], vectors: FloatArray) -> None:
        passages = [passage for passage, _ in entries]
        metadatas: list[Any] = [passage.metadata for passage in passages]
        with store_errors(f"writing {len(passages)} passages"):
            self.collection.upsert(
                ids=[passage.id for passage in passages],
                embeddings=list(vectors),
                documents=[passage.text for passage in passages],
                metadatas=metadatas,
            )
        self.report.passages_written += len(passages)
        for _, pending in entries:
            pending.remaining -= 1
            if pending.remaining == 0:
                self.delete(pending.stale)

    def delete(self, ids: list[str]) -> None:
        for start in range(0, len(ids), _READ_BATCH):
            with store_errors("removing old passages"):
                self.collection.delete(ids=ids[start : start + _READ_BATCH])
        self.report.passages_deleted += len(ids)

    def prune(self) -> None:
        """Remove the passages of documents that were not given; one that failed to load or to split is kept."""
        failed = {failure.source for failure in self.report.failed}
        inside_failed = tuple(f"{source}{separator}" for source in failed for separator in "#/")
        vanished: dict[str, list[str]] = {}
        offset = 0
        while True:
            with store_errors("reading what is indexed already"):
                page = self.collection.get(limit=_READ_BATCH, offset=offset, include=["metadatas"])
            for id, metadata in zip(page["ids"], page["metadatas"] or [], strict=True):
                source = str((metadata or {}).get("source", ""))
                known = source in self.sources or source in failed or source.startswith(inside_failed)
                if id.startswith(ID_PREFIX) and not known:
                    vanished.setdefault(source, []).append(id)
            if len(page["ids"]) < _READ_BATCH:
                break
            offset += _READ_BATCH
        for ids in vanished.values():
            self.delete(ids)
        self.report.deleted = len(vanished)
