"""Is a collection sound? Every record and vector is looked at, texts are embedded again, the index is asked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.maintenance.faults import CHECKS, REEMBED_ADVICE, Fault, remedy_options
from minilm_retrieval.maintenance.index_checks import COMPARED_BELOW, IndexChecks
from minilm_retrieval.maintenance.reading import CollectionReader, DamageError, attempt, has_direction, look_up
from minilm_retrieval.maintenance.record_checks import RecordChecks
from minilm_retrieval.maintenance.vector_checks import VectorChecks, fingerprint_faults, least_cosine
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import space_of
from minilm_retrieval.store.local import forget_stale_indexes, local_directory
from minilm_retrieval.store.recorded import embedder_for
from minilm_retrieval.store.stored_function import stored_function
from minilm_retrieval.whole_numbers import at_least

if TYPE_CHECKING:
    from chromadb import Collection

DEFAULT_SAMPLE = 500
DEFAULT_K = 10
_RECALL_QUERIES = 200


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
        self_hit_queries: How many stored vectors were looked for through the approximate index.
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
    self_hit_queries: int = 0
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

    Every id, text, place and vector is looked at, in memory for a page and a few dozen bytes a record. Of a random
    sample the texts are embedded again, and the vectors are looked for through the approximate index. Whatever is wrong
    with the collection goes into the report; run this while nothing writes to it.

    Args:
        collection: An open Chroma collection, of this library or of another tool.
        embedder: What it should have been embedded with; ``None`` for all-MiniLM-L6-v2 as the collection records it,
            see :func:`minilm_retrieval.store.recorded_embedder`.
        sample: How many records to embed again and to look for; ``"all"`` or ``None`` for all of them.
        seed: Decides which. The same seed takes the same records of an unchanged collection.
        k: How many neighbours recall is measured with.
        check_sources: Whether files that were indexed must still exist on this machine; ``None`` for yes if the
            collection is in a local directory.
        show_progress: Show a progress bar on standard error.

    Raises:
        InvalidOptionError: ``sample``, ``seed`` or ``k`` is out of range.
        StoreError: The store cannot be reached, or no longer has the collection.
        ModelNotFoundError, ModelIntegrityError, ModelUnreadableError, UnsupportedModelError: The embedder's
            model cannot be loaded.
    """
    size = None if sample is None or sample == "all" else at_least("sample", sample, 1)
    at_least("seed", seed, 0)
    at_least("k", k, 1)
    started = time.perf_counter()
    embedder = embedder_for(collection, embedder)
    look_up(collection)
    with store_errors("reading the index anew"):
        forget_stale_indexes(collection._client)
    if check_sources is None:
        check_sources = local_directory(collection._client) is not None
    verification = _Verification(collection, embedder, VerifyReport(collection.name, k))
    verification.run(size, np.random.default_rng(seed), check_sources, show_progress)
    verification.report.seconds = time.perf_counter() - started
    return verification.report


class _Verification:
    def __init__(self, collection: Collection, embedder: MiniLMEmbedder, report: VerifyReport) -> None:
        self.collection = collection
        self.embedder = embedder
        self.report = report
        self.options = remedy_options(collection, embedder)

    def run(self, size: int | None, random: np.random.Generator, check_sources: bool, show_progress: bool) -> None:
        function = stored_function(self.collection)
        self.note(fingerprint_faults(function, self.embedder))
        if function.fingerprint is None:
            self.report.skipped["fingerprint"] = "none is recorded"
        try:
            self.read(size, random, check_sources, show_progress)
        except DamageError as error:
            self.note([Fault("index", f"The collection cannot be read: {error}", REEMBED_ADVICE)])
            self.report.skipped |= dict.fromkeys(set(CHECKS) - {"fingerprint"}, "the collection cannot be read")
        found = {fault.kind for fault in self.report.faults}
        self.report.skipped = {kind: why for kind, why in self.report.skipped.items() if kind not in found}

    def note(self, faults: Iterable[Fault]) -> None:
        self.report.faults += (replace(fault, remedy=fault.remedy.format(**self.options)) for fault in faults)

    def count(self) -> int:
        return attempt(self.collection, "counting records", self.collection.count)

    def read(self, size: int | None, random: np.random.Generator, check_sources: bool, show_progress: bool) -> None:
        report, collection = self.report, self.collection
        report.count = total = self.count()
        chosen = np.sort(random.choice(total, total if size is None else min(size, total), replace=False))
        asked = np.sort(random.choice(chosen, min(_RECALL_QUERIES, len(chosen)), replace=False))
        reader = CollectionReader(collection)
        records = RecordChecks(collection, check_sources)
        vectors = VectorChecks(self.embedder, least_cosine(stored_function(collection), self.embedder))
        index = IndexChecks(collection, space_of(collection), report.k, reader.vectors_at(asked))
        ids: set[str] | None = set() if total <= COMPARED_BELOW else None
        with progress_bar("Verifying", total, show_progress, "records") as advance:
            for page in reader.pages():
                first, last = np.searchsorted(chosen, [records.seen, records.seen + len(page)])
                sampled = [page[place] for place in chosen[first:last] - records.seen if has_direction(page[place])]
                for record in page:
                    records.add(record)
                vectors.add(page)
                index.add(page)
                vectors.compare(sampled)
                index.measure_self_hits(sampled)
                if ids is not None:
                    ids.update(record.id for record in page)
                advance(len(page))
        index.compare_ids(ids)
        index.measure_recall()
        self.note(records.count_faults(total, self.count()))
        for checks in (records, vectors, reader, index):
            self.note(checks.faults())
        report.skipped |= records.skipped() | vectors.skipped() | index.skipped()
        report.records, report.passages = records.seen, records.passages
        report.vectors, report.compared, report.lowest_cosine = vectors.taken, vectors.compared, vectors.lowest
        report.self_hit_queries, report.recall = index.self_hit_queries, index.recall
        report.recall_queries = len(index.queries) if index.recall is not None else 0
