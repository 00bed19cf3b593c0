"""What workers say of each lot, and what becomes of it where it was asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import minilm_retrieval.errors as errors
from minilm_retrieval.errors import ClusterError, MiniLMError, MissingExtraError
from minilm_retrieval.ingest import Failure, IndexingInterrupted, IndexReport, Skipped
from minilm_retrieval.ingest.indexer import cut_short
from minilm_retrieval.progress import progress_bar


@dataclass(frozen=True)
class Outcome:
    """What became of a lot.

    Attributes:
        report: What was done.
        block: Name of the file that has its passages, where files are written.
        error: Name of the class of this library's error that ended it, ``""`` where it is done.
        message: The error's.
    """

    report: IndexReport = field(default_factory=IndexReport)
    block: str = ""
    error: str = ""
    message: str = ""

    @classmethod
    def failed(cls, report: IndexReport, error: MiniLMError) -> Outcome:
        """Return the outcome of a lot that an error ended."""
        return cls(report, error=type(error).__name__, message=str(error))

    def check(self, report: IndexReport) -> None:
        """Raise the error of a lot that was not done.

        Args:
            report: Of the whole run so far, for the message.
        """
        if self.error:
            kind = getattr(errors, self.error, ClusterError)
            # Its message is made of other arguments.
            kind = ClusterError if issubclass(kind, MissingExtraError) else kind
            raise kind(cut_short(f"On a worker: {self.message}", report))


class Collecting:
    """Adds up outcomes as they come.

    Attributes:
        report: The sum.
        blocks: Names of the files written or found.
    """

    def __init__(self) -> None:
        self.report = IndexReport()
        self.blocks: set[str] = set()

    def note(self, item: Failure | Skipped) -> None:
        """Take a source that was found wanting, or passed over, before any worker was asked."""
        if isinstance(item, Failure):
            self.report.failed.append(item)
        else:
            self.report.skipped.append(item)

    def take(self, outcomes: Iterable[Outcome], ray: Any, show_progress: bool) -> IndexReport:
        """Add up all outcomes, and return the report.

        Raises:
            MiniLMError: What ended a lot.
            ClusterError: Ray gave up.
            IndexingInterrupted: Ctrl-C.
        """
        started = time.perf_counter()
        with progress_bar("Indexing", None, show_progress, "passages") as advance, _as_cluster_errors(ray, self.report):
            try:
                for outcome in outcomes:
                    self.report.add(outcome.report)
                    advance(outcome.report.passages_written)
                    outcome.check(self.report)
                    if outcome.block:
                        self.blocks.add(outcome.block)
            except KeyboardInterrupt:
                self.report.interrupted = True
        self.report.seconds = time.perf_counter() - started
        if self.report.interrupted:
            raise IndexingInterrupted(self.report)
        return self.report


@contextmanager
def _as_cluster_errors(ray: Any, report: IndexReport) -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # Ray puts the trace first, and what went wrong at its end.
        reason = lines[-1] if lines else type(error).__name__
        raise ClusterError(cut_short(f"Ray gave up: {reason}", report)) from error
