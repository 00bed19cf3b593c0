"""Copy a collection into a new one that takes its place at the end; the next call takes up an interrupted copy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import RestartWarning
from minilm_retrieval.maintenance.records import PAGE, Record, lacking, record_pages, write_records
from minilm_retrieval.maintenance.settings import MARK, CollectionSettings
from minilm_retrieval.maintenance.switch import Mark, check_free, delete, switch, unfinished
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.changes import Changes
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import REWRITING
from minilm_retrieval.store.writer_lock import local_directory
from minilm_retrieval.truncation import caller_depth

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

# Writers on a server may add faster than is compared; the passes end, and the last comes after the switch.
_MOST_PASSES = 20

Embed = Callable[[Iterator[Record]], Iterator[tuple[list[Record], "FloatArray | list[FloatArray]"]]]
"""Takes records and yields them again in the same order, in lots, with the vectors that they are to get."""


@dataclass(frozen=True)
class Target:
    """What a collection is to become.

    Attributes:
        action: What for, such as ``"reembed"``.
        settings: The new collection's.
        function: The embedding function to record, ``None`` to copy the old record.
        embed: Gives the vectors.
        read_vectors: Whether it needs the old vectors; they are then also compared.
    """

    action: str
    settings: CollectionSettings
    function: Any
    embed: Embed
    read_vectors: bool

    @property
    def description(self) -> Mapping[str, Any]:
        """What decides the vectors and the index, as plain JSON; an unfinished copy is taken up if it is equal."""
        function = self.settings.function
        config = {key: value for key, value in function.config.items() if key != "on_truncate"}
        return {
            "action": self.action,
            "space": self.settings.space,
            "index": {self.settings.index: dict(self.settings.tuning)},
            "function": function.name,
            "config": config,
        }


@dataclass
class Rewritten:
    """What rewriting did.

    Attributes:
        records: How many records the collection holds.
        written: How many were written by this call.
    """

    records: int = 0
    written: int = 0


def rewrite(
    client: ClientAPI,
    source: Collection,
    target: Target,
    *,
    total: int | None = None,
    keep: bool = False,
    show_progress: bool = False,
) -> Rewritten:
    """Copy a collection, with new vectors or a new index, and put the copy in its place.

    To be called with the writer lock held, after :func:`minilm_retrieval.maintenance.switch.recover`. Records that an
    earlier call copied, and that are unchanged since, are not given to ``target.embed`` again.

    Args:
        client: Where the collection is.
        source: The collection.
        target: What it is to become.
        total: How many records there are, for the progress bar.
        keep: Keep the old one as ``<name>.before``.
        show_progress: Show a progress bar on standard error.

    Raises:
        InvalidOptionError: There is a collection of the name under which the old one is to be kept.
        StoreError: The store failed; what was copied stays, and the next call goes on from there.

    Warns:
        RestartWarning: An unfinished copy for another target was thrown away.
    """
    name = source.name
    check_free(client, name, keep)
    new, mark = _open(client, source, target)
    copy = _Copy(source, new, target)
    with progress_bar(target.action.capitalize(), total, show_progress, "records") as advance:
        for _ in range(_MOST_PASSES):
            if not copy.run(advance):
                break
            advance = _silent
    remote = local_directory(client) is None
    switch(client, source, new, mark, keep, copy.latecomers if remote else None)
    return copy.done


def _silent(steps: int) -> None:
    """Later passes advance nothing."""


def _open(client: ClientAPI, source: Collection, target: Target) -> tuple[Collection, Mark]:
    """Return the new collection: that of an earlier call with the same target, or a fresh one."""
    mark = Mark(source.name, str(source.id), target.description)
    left = unfinished(client, source.name)
    if left is not None:
        found, before = left
        if (before.source, before.target) == (mark.source, mark.target):
            return found, mark
        with store_errors(f"counting the records of {found.name!r}"):
            count = found.count()
        warnings.warn(
            f"An interrupted {before.target.get('action', 'rewriting')} of {source.name!r} was for another target; the "
            f"{count} records that it had copied to {found.name!r} are thrown away.",
            RestartWarning,
            stacklevel=caller_depth(),
        )
        delete(client, found.name)
    marks = {MARK: str(mark)}
    return target.settings.create(client, source.name + REWRITING, target.function, **marks), mark


class _Copy:
    """Makes one collection hold what another holds."""

    def __init__(self, source: Collection, new: Collection, target: Target) -> None:
        self.done = Rewritten()
        self._source = source
        self._new = new
        self._target = target
        self._changed: set[str] = set()

    def run(self, advance: Callable[[int], None]) -> bool:
        """Copy what is missing or differs, and delete what is not in the source; say whether there was anything."""
        written = self._write(self._wanted(advance), advance)
        deleted = self._delete_surplus()
        return bool(written or deleted)

    def latecomers(self) -> None:
        """Copy what was added to the source between the last comparison and now; replaces and deletes nothing."""
        self._write(self._wanted(_silent, only_new=True), _silent)

    def _write(self, wanted: Iterator[Record], advance: Callable[[int], None]) -> int:
        written = 0
        with Changes() as changes:
            for records, vectors in self._target.embed(wanted):
                replaced = [record.id for record in records if record.id in self._changed]
                changes.submit(partial(write_records, self._new, records, list(vectors), replaced))
                written += len(records)
                advance(len(records))
        self.done.written += written
        return written

    def _wanted(self, advance: Callable[[int], None], *, only_new: bool = False) -> Iterator[Record]:
        self.done.records = 0
        self._changed.clear()
        for page in record_pages(self._source, vectors=self._target.read_vectors):
            records, changed = lacking(self._new, page, vectors=self._target.read_vectors)
            self.done.records += len(page)
            advance(len(page) - len(records))
            if only_new:
                records = [record for record in records if record.id not in changed]
            else:
                self._changed.update(changed)
            yield from records

    def _delete_surplus(self) -> int:
        """Delete what the source does not hold, or no longer."""
        offset = deleted = 0
        while True:
            with store_errors(f"reading ids of {self._new.name!r}"):
                ids = self._new.get(limit=PAGE, offset=offset, include=[])["ids"]
            if not ids:
                return deleted
            with store_errors(f"reading ids of {self._source.name!r}"):
                held = set(self._source.get(ids=ids, include=[])["ids"])
            surplus = [id for id in ids if id not in held]
            if surplus:
                with store_errors("removing records that are gone"):
                    self._new.delete(ids=surplus)
            deleted += len(surplus)
            offset += len(ids) - len(surplus)
