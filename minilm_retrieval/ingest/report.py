"""What indexing did, and how long each stage of it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from minilm_retrieval.ingest.documents import Failure, Skipped

STAGES = ("reading", "splitting", "comparing", "embedding", "writing", "pruning")
_COUNTS = (
    *("added", "updated", "unchanged", "empty", "deleted"),
    *("passages_written", "passages_reused", "passages_deleted"),
)


@dataclass
class IndexReport:
    """What indexing did.

    Attributes:
        added: Documents that were not in the collection and are now.
        updated: Documents of which something had changed, or that an earlier run had not finished, and that are whole
            now.
        unchanged: Documents of which nothing had changed; nothing was split, embedded or written for them.
        empty: Documents without text; nothing is stored for them.
        deleted: Documents removed because they were no longer given (``prune=True``).
        failed: Sources that were not indexed, with the reason; a file some of whose records were not is one.
        skipped: Files that were passed over on purpose, with the reason.
        passages_written: Passages stored.
        passages_reused: How many of these had the text of a stored passage of the same document and took over its
            vector; the others were embedded.
        passages_deleted: Passages removed.
        metadata_changes: What of the documents' metadata was not stored as it came, and in how many documents.
        interrupted: Whether the run was stopped before it had done all it was asked to.
        seconds: Wall time.
        stage_seconds: Seconds spent in each of reading, splitting, comparing with what is stored, embedding, writing
            and pruning. The first three happen in one thread, embedding and writing in one each, so the sum may exceed
            ``seconds``.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    empty: int = 0
    deleted: int = 0
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    passages_written: int = 0
    passages_reused: int = 0
    passages_deleted: int = 0
    metadata_changes: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to a stage; each stage belongs to one thread."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds[stage] += time.perf_counter() - started

    def add(self, part: IndexReport) -> None:
        """Take the numbers of a part of the work, which ran elsewhere, to these; its wall time is not added."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(part, name))
        self.failed += part.failed
        self.skipped += part.skipped
        for note, count in part.metadata_changes.items():
            self.metadata_changes[note] = self.metadata_changes.get(note, 0) + count
        for stage, seconds in part.stage_seconds.items():
            self.stage_seconds[stage] += seconds


class IndexingInterrupted(KeyboardInterrupt):
    """Ctrl-C stopped indexing; what was under way was finished first.

    Attributes:
        report: What had been done; the next run goes on from there.
    """

    def __init__(self, report: IndexReport) -> None:
        super().__init__("indexing was interrupted")
        self.report = report
