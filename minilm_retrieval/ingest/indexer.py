"""Documents into a collection: find what is new, split it, embed it, write it, and drop what a document no longer says.

Three threads hand on to each other in bounded memory. The caller's reads documents, compares them with what is stored
and splits those that changed; another embeds; a third writes. A run may end at any moment: a document's old passages
are removed only after all of its new ones are written, and the next run sees from the ids what is missing or left over.
"""

from __future__ import annotations

import itertools
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, StoreError
from minilm_retrieval.ingest.comparison import Comparison, Lacking
from minilm_retrieval.ingest.documents import Document, Failure, Skipped
from minilm_retrieval.ingest.handover import Handover
from minilm_retrieval.ingest.loading import LoadedDocuments
from minilm_retrieval.ingest.passages import PassageSplitter
from minilm_retrieval.ingest.report import IndexingInterrupted, IndexReport
from minilm_retrieval.ingest.settings import note_settings
from minilm_retrieval.ingest.stored import passages_of_others
from minilm_retrieval.ingest.writer import PassageWriter, Replacement, delete_documents
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.client import check_current
from minilm_retrieval.store.compatibility import check_collection
from minilm_retrieval.store.limits import page_size
from minilm_retrieval.store.local import full_disk
from minilm_retrieval.store.recorded import embedder_for
from minilm_retrieval.store.writer_lock import writer_lock
from minilm_retrieval.tokenizer import well_formed

if TYPE_CHECKING:
    from chromadb import Collection

_WAITING_PASSAGES = 2000


def index_documents(
    collection: Collection,
    documents: Iterable[Document | Failure | Skipped],
    embedder: MiniLMEmbedder | None = None,
    *,
    passage_tokens: int | None = None,
    passage_overlap: int = 0,
    metadata_policy: str = "convert",
    prune: bool = False,
    show_progress: bool = False,
) -> IndexReport:
    """Split, embed and store documents, in bounded memory.

    A document is known by its id. What the collection holds already is neither split nor embedded again; new passages
    are written before old ones are removed, so a document is never missing in between. A run that ends early, however
    it ends, leaves a collection that the next run completes. In a local directory one process writes at a time; on a
    server several may, on different documents. Two that index the same document at the same time may leave both
    versions of it, until it is indexed again.

    Args:
        collection: Where to, see :func:`minilm_retrieval.open_collection`.
        documents: Any iterable, read as it is indexed. A :class:`Failure` or :class:`Skipped` among them goes to the
            report, and what the collection holds of its source is kept.
        embedder: ``None`` for all-MiniLM-L6-v2 with the precision recorded with the collection.
        passage_tokens: Most tokens of a passage; ``None`` for all that the model reads.
        passage_overlap: Most tokens that a passage repeats of the one before.
        metadata_policy: What to do with metadata that Chroma does not store: ``"convert"``, ``"drop"`` or
            ``"error"``, see :class:`minilm_retrieval.ingest.MetadataPolicy`.
        prune: Remove documents, indexed by this library, that are gone: of those that :func:`load_documents` reads,
            what is no longer in its files and folders; of another iterable, all that are not among those given. Nothing
            is removed where no document was given at all.
        show_progress: Show a progress bar on standard error.

    Returns:
        The report. Documents that cannot be stored are in ``failed`` and do not stop the others.

    Raises:
        CollectionMismatchError: The collection was embedded by another model.
        CollectionNotFoundError: The collection is no longer the one of its name.
        DocumentError: Something other than a document is among those given.
        InvalidOptionError: An option is out of range, or the collection, the embedder or the documents are none.
        StoreLockedError: Another process, or call in this one, is writing to the same local directory.
        StoreError: The store failed; what was written before stays, and the next run goes on from there.
        IndexingInterrupted: Ctrl-C, a :class:`KeyboardInterrupt`; what was under way has been finished, and
            ``error.report`` says what was done.
    """
    embedder = embedder_for(collection, embedder)
    if not isinstance(documents, Iterable):
        raise InvalidOptionError(
            f"Expected documents one after the other, got {type(documents).__name__}. Put one in a list: [document]."
        )
    splitter = PassageSplitter(embedder, passage_tokens, passage_overlap, metadata_policy)
    with writer_lock(collection._client, f"indexing into the collection {collection.name!r}"):
        check_current(collection)
        check_collection(collection, embedder)
        note_settings(collection, splitter)
        return IndexRun(collection, embedder, splitter).over(documents, prune, show_progress)


class IndexRun:
    """One run over documents, into a collection that has been checked.

    Args:
        collection: Where to.
        embedder: Embeds the passages.
        splitter: Checks and splits the documents.

    Attributes:
        report: What has been done so far.
    """

    def __init__(self, collection: Collection, embedder: MiniLMEmbedder, splitter: PassageSplitter) -> None:
        self.collection = collection
        self.embedder = embedder
        self.report = IndexReport()
        self.comparison = Comparison(collection, splitter, self.report)
        self.handover: Handover[Lacking | Replacement] = Handover(_WAITING_PASSAGES)
        self.writer = PassageWriter(collection, self.report, page_size(collection._client))

    def over(self, documents: Iterable[Document | Failure | Skipped], prune: bool, show_progress: bool) -> IndexReport:
        """Index the documents, and see what is gone; see :func:`index_documents`."""
        started = time.perf_counter()
        try:
            self.index(documents, show_progress)
            if prune and not self.report.interrupted:
                with self.report.timed("pruning"):
                    self.prune(documents)
        except KeyboardInterrupt:
            self.report.interrupted = True
        except StoreError as error:
            cause = f"{str(error).rstrip('.')}.{full_disk(self.collection._client)}"
            raise type(error)(cut_short(cause, self.report)) from error
        self.report.seconds = time.perf_counter() - started
        if self.report.interrupted:
            raise IndexingInterrupted(self.report)
        return self.report

    def index(self, documents: Iterable[Document | Failure | Skipped], show_progress: bool) -> None:
        """Take up the documents; interrupted, finish what is being embedded and written."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="minilm-embed") as executor:
            embedding: Future[None] | None = None
            try:
                embedding = executor.submit(self.embed, show_progress)
                self.read(documents)
                self.handover.finish()
                embedding.result()
            except KeyboardInterrupt:
                self.report.interrupted = True
            finally:
                self.handover.cancel()
            # The store is written to until this has ended, so nothing ends the waiting for it.
            while embedding is not None and not embedding.done():
                with suppress(KeyboardInterrupt):
                    wait([embedding])
            if embedding is not None:
                embedding.result()

    def read(self, documents: Iterable[Document | Failure | Skipped]) -> None:
        """Hand over the passages that the collection lacks; in the caller's thread."""
        for item in self.comparison.differences(documents):
            if not self.handover.put(item):
                return

    def embed(self, show_progress: bool) -> None:
        """Embed what is handed over and pass it on to the writer; in a thread of its own."""
        waiting: deque[Lacking] = deque()
        started = time.perf_counter()
        try:
            with progress_bar("Indexing", None, show_progress, "passages") as advance, self.writer:
                for _, vectors in self.vectors(self.texts(waiting)):
                    for vector in vectors:
                        item = waiting.popleft()
                        self.writer.put(item.passage, vector, item.replacement)
                    self.writer.flush()
                    advance(len(vectors))
                ended = time.perf_counter()
        except BaseException:
            self.handover.cancel()
            raise
        self.report.stage_seconds["embedding"] = ended - started - self.handover.waited - self.writer.waited

    def vectors(self, texts: Iterator[str]) -> Iterator[tuple[list[str], FloatArray]]:
        """Embed texts; where there are none, the engine is not even started."""
        for first in texts:
            yield from self.embedder.encode_stream(itertools.chain([first], texts))

    def texts(self, waiting: deque[Lacking]) -> Iterator[str]:
        """Yield the texts to embed; what needs no embedding goes to the writer at once."""
        for item in self.handover:
            if isinstance(item, Replacement):
                self.writer.finish(item)
            elif item.vector is not None:
                self.report.passages_reused += 1
                self.writer.put(item.passage, item.vector, item.replacement)
            else:
                waiting.append(item)
                yield item.passage.text

    def prune(self, documents: Iterable[Document | Failure | Skipped]) -> None:
        """Remove the documents that are gone; one that failed or was skipped is not."""
        if not self.comparison.given:
            self.report.failed.append(Failure("prune", "no document was given, so nothing was removed"))
            return
        is_gone = documents.is_gone if isinstance(documents, LoadedDocuments) else self.was_not_given
        gone = passages_of_others(
            self.collection, self.comparison.given, lambda source: source not in self.not_indexed and is_gone(source)
        )
        delete_documents(self.collection, gone.values(), self.report)

    @cached_property
    def not_indexed(self) -> set[str]:
        """Ids, as they are stored, of the sources that failed or were skipped."""
        failed = {well_formed(failure.source) for failure in self.report.failed}
        return failed | {well_formed(file.source) for file in self.report.skipped}

    def was_not_given(self, source: str) -> bool:
        """Tell whether nothing that a document is in failed or was skipped."""
        ends = (place.start() for place in re.finditer(r"[#/\\]", source))
        return not any(source[:end] in self.not_indexed for end in ends)


def cut_short(cause: str, report: IndexReport) -> str:
    """Return the message of a run that the store ended."""
    written = f"{report.passages_written} passages of this run were written and stay"
    return f"{cause.rstrip('.')}. {written}; run it again to go on from there."
