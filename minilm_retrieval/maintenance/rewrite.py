"""Copy a collection into a new one that takes its place at the end; the next call takes up an interrupted copy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import RestartWarning, StoreError
from minilm_retrieval.maintenance.records import Record, differing, record_pages, write_records
from minilm_retrieval.maintenance.settings import MARK, CollectionSettings, own_metadata
from minilm_retrieval.maintenance.switch import Mark, check_free, delete, note, switch, unfinished
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.changes import Changes
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import REWRITING, find_collection
from minilm_retrieval.store.limits import in_lots
from minilm_retrieval.store.local import local_directory
from minilm_retrieval.store.paging import read_pages
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

    A server has no writer lock. Others must not write to the collection there, nor rewrite it, while this runs: what
    they do before the last comparison is copied, and so are records added after it, but an update or deletion in the
    moments between that and the switch is lost. A second rewriting of the same collection stops with an error.

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
    remote = local_directory(client) is None
    copy = _Copy(client, source, new, target, remote)
    with progress_bar(target.action.capitalize(), total, show_progress, "records") as advance:
        for _ in range(_MOST_PASSES):
            if not copy.run(advance):
                break
            advance = _silent
    switch(client, source, new, mark, keep, copy.copy_late_additions if remote else None)
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
            if before.complete:
                note(found, mark, own_metadata(found))
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

    def __init__(self, client: ClientAPI, source: Collection, new: Collection, target: Target, remote: bool) -> None:
        self.done = Rewritten()
        self._client = client
        self._source = source
        self._new = new
        self._target = target
        self._remote = remote
        self._held: dict[str, Record] = {}
        self._seen: set[str] = set()

    def run(self, advance: Callable[[int], None]) -> bool:
        """Copy what is missing or differs, and delete what is not in the source; say whether there was anything."""
        written = self._write(self._wanted(advance), advance)
        return self._delete_surplus() or written > 0

    def copy_late_additions(self) -> None:
        """Copy what the source got since the last pass, and no more: others may write to the new one by now."""
        self._write(self._late(), _silent)

    def _write(self, wanted: Iterator[Record], advance: Callable[[int], None]) -> int:
        written = 0
        with Changes() as changes:
            for records, vectors in self._target.embed(wanted):
                held = {record.id: self._held.pop(record.id) for record in records if record.id in self._held}
                changes.submit(partial(self._put, records, list(vectors), held))
                written += len(records)
                advance(len(records))
        self.done.written += written
        return written

    def _put(self, records: list[Record], vectors: list[FloatArray], held: dict[str, Record]) -> None:
        self._require_place()
        write_records(self._new, records, vectors, held)

    def _wanted(self, advance: Callable[[int], None]) -> Iterator[Record]:
        self.done.records = 0
        self._held.clear()
        self._seen.clear()
        for page in record_pages(self._source, vectors=self._target.read_vectors):
            records, held = differing(self._new, page, vectors=self._target.read_vectors)
            self._held.update(held)
            if self._remote:
                self._seen.update(record.id for record in page)
            self.done.records += len(page)
            advance(len(page) - len(records))
            yield from records

    def _late(self) -> Iterator[Record]:
        for page in record_pages(self._source, vectors=self._target.read_vectors):
            late = [record for record in page if record.id not in self._seen]
            if late:
                records, held = differing(self._new, late, vectors=False)
                self.done.records += len(late)
                yield from (record for record in records if record.id not in held)

    def _delete_surplus(self) -> bool:
        """Delete what the source does not hold, or no longer."""
        surplus: list[str] = []
        for page in read_pages(self._new, include=[]):
            with store_errors(f"reading ids of {self._source.name!r}"):
                held = set(self._source.get(ids=page["ids"], include=[])["ids"])
            surplus += [id for id in page["ids"] if id not in held]
        for ids in in_lots(self._new._client, surplus):
            self._require_place()
            with store_errors("removing records that are gone"):
                self._new.delete(ids=list(ids))
        return bool(surplus)

    def _require_place(self) -> None:
        """Make sure that no other process on the server has put the copy in its place, or thrown it away."""
        found = find_collection(self._client, self._new.name)
        if found is None or found.id != self._new.id:
            raise StoreError(
                f"Another process has finished, or thrown away, the copy {self._new.name!r} that this one was "
                "filling; nothing more was written. Let one process at a time rewrite a collection, and try again."
            )
