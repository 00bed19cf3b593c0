"""Build indexes anew from the stored vectors, and give back the space that deleted records still take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, StoreError
from minilm_retrieval.maintenance.directory import remove_unused_folders, vacuum
from minilm_retrieval.maintenance.records import PAGE, Record
from minilm_retrieval.maintenance.rewrite import Target, rewrite
from minilm_retrieval.maintenance.settings import CollectionSettings
from minilm_retrieval.maintenance.switch import Mark, recover, unfinished
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import open_collection
from minilm_retrieval.store.writer_lock import local_directory, writer_lock

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

_ACTION = "compact"


@dataclass(frozen=True)
class CompactReport:
    """What compacting did.

    Attributes:
        collections: How many records each rebuilt collection holds.
        folders_removed: Index folders removed that no collection refers to.
        bytes_before: Size of the directory; ``None`` for a server, as the next.
        bytes_after: Its size afterwards.
        seconds: Wall time.
    """

    collections: dict[str, int]
    folders_removed: int
    bytes_before: int | None
    bytes_after: int | None
    seconds: float


def compact_collections(
    client: ClientAPI, names: Sequence[str] | None = None, *, show_progress: bool = False
) -> CompactReport:
    """Rebuild the index of collections from their stored vectors; in a local directory, free unused space.

    A deleted record stays in the index of Chroma, which never shrinks, and slows searches down; a rebuilt index holds
    only what there is. This also repairs an index that has lost its links, as long as the vectors can be read. Each
    collection is copied and takes its own place when the copy is complete, so for a while it needs twice the space; a
    call that is interrupted, even killed, is taken up by the next. Collection objects opened before must be opened
    again afterwards.

    In a local directory, index folders that no collection refers to are removed, which Chroma leaves when a collection
    is deleted, and the database file is vacuumed. Another program may have the directory open, but no transaction.

    Args:
        client: A Chroma client, see :func:`minilm_retrieval.store.connect`.
        names: Which collections; ``None`` for all.
        show_progress: Show a progress bar on standard error.

    Raises:
        CollectionNotFoundError: There is no such collection.
        InvalidOptionError: A collection is half re-embedded.
        StoreError, StoreLockedError: The store failed, vectors cannot be read, or another process is writing.
    """
    started = time.perf_counter()
    directory = local_directory(client)
    before = None if directory is None else _size(directory)
    with writer_lock(client, "compacting"):
        wanted = _names(client) if names is None else list(dict.fromkeys(names))
        collections = {name: _rebuild(client, name, show_progress) for name in wanted}
        removed = 0
        if directory is not None:
            removed = remove_unused_folders(directory)
            vacuum(directory)
    after = None if directory is None else _size(directory)
    return CompactReport(collections, removed, before, after, time.perf_counter() - started)


def _names(client: ClientAPI) -> list[str]:
    """Return the names of all collections, having finished what was interrupted."""
    with store_errors("listing collections"):
        marks = [mark for collection in client.list_collections() if (mark := Mark.of(collection)) is not None]
    for mark in marks:
        recover(client, mark.collection)
    with store_errors("listing collections"):
        return sorted(collection.name for collection in client.list_collections() if Mark.of(collection) is None)


def _rebuild(client: ClientAPI, name: str, show_progress: bool) -> int:
    finished = recover(client, name)
    source = open_collection(name, client=client)
    target = Target(_ACTION, CollectionSettings.of(source), None, _as_stored, read_vectors=True)
    if finished is not None and finished.target == target.description:
        with store_errors(f"counting the records of {name!r}"):
            return source.count()
    left = unfinished(client, name)
    if left is not None and left[1].target.get("action") != _ACTION:
        raise InvalidOptionError(
            f"{name!r} is half re-embedded, in {left[0].name!r}, and compacting would throw that away. Finish it with "
            "`minilm reembed` and the same options, or delete that collection with Chroma."
        )
    try:
        with store_errors(f"counting the records of {name!r}"):
            count = source.count()
        return rewrite(client, source, target, total=count, show_progress=show_progress).records
    except StoreError as error:
        raise StoreError(
            f"{error} If vectors of {name!r} cannot be read, compute them anew from the texts: "
            f"minilm reembed --force --collection {name}"
        ) from error


def _as_stored(records: Iterator[Record]) -> Iterator[tuple[list[Record], list[FloatArray]]]:
    lot: list[Record] = []
    for record in records:
        lot.append(record)
        if len(lot) == PAGE:
            yield lot, _vectors(lot)
            lot = []
    if lot:
        yield lot, _vectors(lot)


def _vectors(records: list[Record]) -> list[FloatArray]:
    return [record.vector for record in records if record.vector is not None]


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
