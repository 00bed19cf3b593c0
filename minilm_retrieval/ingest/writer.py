"""Passages into the store, in batches; what they replace is removed when all of a document is there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.ingest.passages import Passage
from minilm_retrieval.ingest.report import IndexReport
from minilm_retrieval.store.changes import Changes
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.limits import in_lots, page_size

if TYPE_CHECKING:
    from chromadb import Collection


@dataclass
class Replacement:
    """A document on its way.

    Attributes:
        remaining: How many of its passages are still to be written.
        stale: Ids of passages to remove after that.
        is_new: Whether nothing of it is stored yet.
    """

    remaining: int
    stale: Sequence[str]
    is_new: bool


@dataclass
class _Batch:
    passages: list[Passage] = field(default_factory=list)
    vectors: list[FloatArray] = field(default_factory=list)
    replacements: list[Replacement] = field(default_factory=list)
    finished: list[Replacement] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.passages) + len(self.finished)


class PassageWriter:
    """Collects passages and writes them in a thread of its own while the caller goes on; a context manager.

    Args:
        collection: Where to.
        report: Takes the counts and the time.
        batch_size: Most passages of one write.

    Attributes:
        waited: Seconds that the caller spent waiting because the store was slower.
    """

    def __init__(self, collection: Collection, report: IndexReport, batch_size: int) -> None:
        self.waited = 0.0
        self._collection = collection
        self._report = report
        self._batch_size = batch_size
        self._batch = _Batch()
        self._changes = Changes()

    def put(self, passage: Passage, vector: FloatArray, replacement: Replacement) -> None:
        """Have a passage written."""
        self._batch.passages.append(passage)
        self._batch.vectors.append(vector)
        self._batch.replacements.append(replacement)
        self._flush_if_full()

    def finish(self, replacement: Replacement) -> None:
        """Have a document finished of which nothing is to be written."""
        self._batch.finished.append(replacement)
        self._flush_if_full()

    def flush(self) -> None:
        """Have what was collected written now."""
        if len(self._batch):
            started = time.perf_counter()
            self._changes.submit(partial(self._write, self._batch))
            self.waited += time.perf_counter() - started
            self._batch = _Batch()

    def _flush_if_full(self) -> None:
        if len(self._batch) >= self._batch_size:
            self.flush()

    def _write(self, batch: _Batch) -> None:
        with self._report.timed("writing"):
            if batch.passages:
                with store_errors(f"writing {len(batch.passages)} passages"):
                    self._collection.upsert(
                        ids=[passage.id for passage in batch.passages],
                        embeddings=np.stack(batch.vectors),
                        documents=[passage.text for passage in batch.passages],
                        metadatas=[passage.metadata for passage in batch.passages],
                    )
            self._report.passages_written += len(batch.passages)
            finished = batch.finished
            for replacement in batch.replacements:
                replacement.remaining -= 1
                if replacement.remaining == 0:
                    finished.append(replacement)
            stale = [id for replacement in finished for id in replacement.stale]
            delete_passages(self._collection, stale, self._report)
            added = sum(replacement.is_new for replacement in finished)
            self._report.added += added
            self._report.updated += len(finished) - added

    def __enter__(self) -> PassageWriter:
        self._changes.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._changes.__exit__(kind, *rest)  # type: ignore[arg-type]


def delete_passages(collection: Collection, ids: Sequence[str], report: IndexReport) -> None:
    """Remove passages, in lots that every store takes."""
    for lot in in_lots(collection._client, ids):
        with store_errors("removing old passages"):
            collection.delete(ids=list(lot))
        report.passages_deleted += len(lot)


def delete_documents(collection: Collection, documents: Iterable[Sequence[str]], report: IndexReport) -> None:
    """Remove documents, many small ones in one request.

    Args:
        collection: Where they are.
        documents: The ids of the passages of each.
        report: Takes the counts: of a document when all of it is gone.
    """
    size = page_size(collection._client)
    lot: list[str] = []
    whole = 0
    for ids in documents:
        if lot and len(lot) + len(ids) > size:
            delete_passages(collection, lot, report)
            report.deleted += whole
            lot, whole = [], 0
        lot += ids
        whole += 1
    delete_passages(collection, lot, report)
    report.deleted += whole
