"""Is a collection sound? Every record and vector is looked at, texts are embedded again, the index is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.maintenance.faults import REEMBED, Fault
from minilm_retrieval.maintenance.index_checks import IndexChecks
from minilm_retrieval.maintenance.reading import STORE_FAILURES, VectorReader, record_pages, require_reachable
from minilm_retrieval.maintenance.record_checks import RecordChecks
from minilm_retrieval.maintenance.sampling import Sample
from minilm_retrieval.maintenance.vector_checks import VectorChecks, fingerprint_faults, least_cosine
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import space_of, stored_function
from minilm_retrieval.store.writer_lock import local_directory

if TYPE_CHECKING:
    from chromadb import Collection

DEFAULT_SAMPLE = 500
DEFAULT_K = 10
# Up to so many records, the index is asked for all of them at once.
_COMPLETE_BELOW = 5000
_OF_VECTORS = ("dimension", "not-finite", "not-unit", "vector", "self-hit", "recall")
_BACKUP = "Take the database back from a backup, or index the documents again into a new collection."


@dataclass
class VerifyReport:
    """What :func:`verify_collection` found.

    Attributes:
        collection: The collection's name.
        k: How many neighbours ``recall`` is about.
        count: How many records the store counts, ``None`` if it cannot count them.
        records: How many were read.
        passages: How many of them are passages that this library indexed.
        vectors: How many vectors were read.
        compared: How many texts were embedded again and compared with their vectors.
        lowest_cosine: The lowest cosine among them.
        looked_for: How many stored vectors were looked for through the approximate index.
        recall: The share of the ``k`` exact nearest neighbours that the index finds, ``None`` if not measured.
        recall_queries: How many stored vectors it was measured with.
        faults: What is wrong.
        skipped: Kinds of faults that were not looked for, with the reason.
        seconds: Wall time.
    """

    collection: str
    k: int
    count: int | None = None
    records: int = 0
    passages: int = 0
    vectors: int = 0
    compared: int = 0
    lowest_cosine: float | None = None
    looked_for: int = 0
    recall: float | None = None
    recall_queries: int = 0
    faults: list[Fault] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify_collection(
    collection: Collection,
    embedder: MiniLMEmbedder | None = None,
    *,
    sample: int | Literal["all"] | None = DEFAULT_SAMPLE,
    seed: int = 0,
    k: int = DEFAULT_K,
    check_sources: bool | None = None,
    show_progress: bool = False,
) -> VerifyReport:
    """Find what is wrong with a collection; changes nothing.

    Every id, text, place and vector is looked at, in memory for a page and a few bytes a record. Of a random sample
    the texts are embedded again, and the vectors are looked for through the approximate index. Whatever is wrong with
    the collection goes into the report; run this while nothing writes to it.

    Args:
        collection: An open Chroma collection, of this library or of another tool.
        embedder: What it should have been embedded with; ``None`` for all-MiniLM-L6-v2 with its defaults.
        sample: How many records to embed again and to look for; ``"all"`` or ``None`` for all of them.
        seed: Decides which. The same seed takes the same records of an unchanged collection.
        k: How many neighbours recall is measured with.
        check_sources: Whether files that were indexed must still exist on this machine; ``None`` for yes if the
            collection is in a local directory.
        show_progress: Show progress bars on standard error.

    Raises:
        InvalidOptionError: ``sample``, ``seed`` or ``k`` is out of range.
        StoreError: The store cannot be reached, or no longer has the collection.
        ModelNotFoundError, ModelIntegrityError, UnsupportedModelError: The embedder's model cannot be loaded.
    """
    size = None if sample is None or sample == "all" else _at_least("sample", sample, 1)
    _at_least("seed", seed, 0)
    _at_least("k", k, 1)
    started = time.perf_counter()
    require_reachable(collection)
    if check_sources is None:
        check_sources = local_directory(collection._client) is not None
    verification = _Verification(collection, embedder or MiniLMEmbedder(), VerifyReport(collection.name, k))
    verification.run(size, seed, check_sources, show_progress)
    verification.report.seconds = time.perf_counter() - started
    return verification.report


def _at_least(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidOptionError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return value


class _Verification:
    def __init__(self, collection: Collection, embedder: MiniLMEmbedder, report: VerifyReport) -> None:
        self.collection = collection
        self.embedder = embedder
        self.report = report
        self.sample = Sample(0, None, 0)
        # The ids of a small collection, to be compared with those that its index knows.
        self.ids: set[str] = set()

    def run(self, size: int | None, seed: int, check_sources: bool, show_progress: bool) -> None:
        report = self.report
        report.faults += fingerprint_faults(stored_function(self.collection), self.embedder)
        if stored_function(self.collection).fingerprint is None:
            report.skipped["fingerprint"] = "none is recorded"
        try:
            with store_errors("counting records"):
                report.count = count = self.collection.count()
            self.sample = Sample(count, size, seed)
            with progress_bar("Verifying records", count, show_progress, "records") as advance:
                report.faults += self.check_records(RecordChecks(check_sources), count, advance)
        except STORE_FAILURES as error:
            require_reachable(self.collection)
            report.faults.append(Fault("index", f"The collection cannot be read: {error}", _BACKUP))
            report.skipped |= dict.fromkeys(("count", "missing", "orphan", "offsets"), "it cannot be read")
        else:
            if not report.passages:
                report.skipped |= dict.fromkeys(("missing", "orphan", "offsets"), "no passage of this library")
        with progress_bar("Verifying vectors", report.count, show_progress, "vectors") as advance:
            self.check_vectors(advance)
        found = {fault.kind for fault in report.faults}
        report.skipped = {kind: reason for kind, reason in report.skipped.items() if kind not in found}

    def check_records(self, checks: RecordChecks, count: int, advance: Callable[[int], None]) -> list[Fault]:
        for page in record_pages(self.collection):
            for id, document, metadata in page:
                checks.add(id, document, metadata)
            ids = [id for id, _, _ in page]
            self.sample.read(ids)
            if count <= _COMPLETE_BELOW:
                self.ids.update(ids)
            advance(len(page))
        self.report.records, self.report.passages = checks.seen, checks.passages
        with store_errors("counting records"):
            after = self.collection.count()
        return [*checks.count_faults(count, after), *checks.faults(self.source_of)]

    def source_of(self, id: str) -> str:
        """Return the name of a passage's source."""
        with store_errors("reading a passage"):
            metadatas = self.collection.get(ids=[id], include=["metadatas"])["metadatas"]
        return str((metadatas[0] if metadatas else {}).get("source", id))

    def check_vectors(self, advance: Callable[[int], None]) -> None:
        report, reader = self.report, VectorReader(self.collection)
        function = stored_function(self.collection)
        checks = VectorChecks(self.collection, self.embedder, least_cosine(function, self.embedder))
        try:
            index = IndexChecks(
                self.collection, space_of(self.collection), report.k, reader.usable(self.sample.queries)
            )
            for page in reader.pages():
                good = checks.add(page.ids, page.vectors, [row for row, id in enumerate(page.ids) if id in self.sample])
                index.add(page.vectors)
                index.look_for([page.ids[row] for row in good], page.vectors[good])
                advance(len(page.ids) + len(page.unreadable))
        except STORE_FAILURES as error:
            require_reachable(self.collection)
            report.faults.append(Fault("index", f"Vectors cannot be read: {error}", REEMBED))
            report.skipped |= dict.fromkeys(_OF_VECTORS, "vectors cannot be read")
            return
        index.compare_with(self.ids)
        report.recall = index.recall()
        report.faults += [*checks.faults(), *reader.faults(), *index.faults(report.recall)]
        report.vectors, report.compared, report.lowest_cosine = checks.taken, checks.compared, checks.lowest
        report.looked_for = index.looked_for
        report.recall_queries = len(index.queries) if report.recall is not None else 0
        report.skipped |= checks.skipped() | index.skipped()
