"""Build indexes anew from the stored vectors, and give back the space that deleted records still take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, MiniLMError, StoreError, StoreUnavailableError
from minilm_retrieval.maintenance.directory import remove_unused_folders, vacuum
from minilm_retrieval.maintenance.records import Record
from minilm_retrieval.maintenance.rewrite import Target, rewrite
from minilm_retrieval.maintenance.settings import CollectionSettings
from minilm_retrieval.maintenance.switch import Mark, recover, unfinished
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import open_collection
from minilm_retrieval.store.limits import page_size
from minilm_retrieval.store.local import local_directory
from minilm_retrieval.store.writer_lock import writer_lock

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

_ACTION = "compact"


@dataclass(frozen=True)
class CompactReport:
    """What compacting did.

    Attributes:
        collections: How many records each rebuilt collection holds.
        failed: What went wrong with each of the others; they are as they were.
        folders_removed: Index folders removed that no collection refers to.
        bytes_before: Size of the directory; ``None`` for a server, as the next.
        bytes_after: Its size afterwards.
        note: Why unused space could not be freed, ``None`` where it was.
        seconds: Wall time.
    """

    collections: dict[str, int]
    failed: dict[str, str]
    folders_removed: int
    bytes_before: int | None
    bytes_after: int | None
    note: str | None
    seconds: float


def compact_collections(
    client: ClientAPI, names: Sequence[str] | None = None, *, show_progress: bool = False
) -> CompactReport:
    """Rebuild the index of collections from their stored vectors; in a local directory, free unused space.

    A deleted record stays in the index of Chroma, which never shrinks, and slows searches down; a rebuilt index holds
    only what there is. This also repairs an index that has lost its links, as long as the vectors can be read. Each
    collection is copied and takes its own place when the copy is complete, so for a while it needs twice the space; a
    call that is interrupted, even killed, is taken up by the next. Collection objects opened before must be opened
    again afterwards. A server has no lock: let nobody write to the collections there meanwhile. What fails with one
    collection, such as a name that does not exist or vectors that cannot be read, is in the report and does not stop
    the others.

    In a local directory, index folders that no collection refers to are removed, which Chroma leaves when a collection
    is deleted, and the database file is vacuumed. Another program may have the directory open, but no transaction.

    Args:
        client: A Chroma client, see :func:`minilm_retrieval.store.connect`.
        names: Which collections; ``None`` for all, whether or not something was deleted, which Chroma does not tell.
        show_progress: Show a progress bar on standard error.

    Raises:
        StoreError, StoreLockedError: The collections cannot be listed, or another process is writing.
        StoreUnavailableError: A server gave no answer in time; the collections before that are done.
    """
    started = time.perf_counter()
    directory = local_directory(client)
    before = None if directory is None else _size(directory)
    collections: dict[str, int] = {}
    failed: dict[str, str] = {}
    removed, note = 0, None
    with writer_lock(client, "compacting"):
        for name in _names(client, failed) if names is None else dict.fromkeys(names):
            with _collected(failed, name):
                collections[name] = _rebuild(client, name, show_progress)
        if directory is not None:
            try:
                removed = remove_unused_folders(directory)
                vacuum(directory)
            except StoreError as error:
                note = str(error)
    after = None if directory is None else _size(directory)
    return CompactReport(collections, failed, removed, before, after, note, time.perf_counter() - started)


@contextmanager
def _collected(failed: dict[str, str], name: str) -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError:
        # Nor would it answer for the others.
        raise
    except MiniLMError as error:
        failed[name] = str(error)


def _names(client: ClientAPI, failed: dict[str, str]) -> list[str]:
    """Return the names of all collections, having finished what was interrupted."""
    with store_errors("listing collections"):
        marks = [mark for collection in client.list_collections() if (mark := Mark.of(collection)) is not None]
    for mark in marks:
        with _collected(failed, mark.collection):
            recover(client, mark.collection)
    with store_errors("listing collections"):
        return sorted(collection.name for collection in client.list_collections() if Mark.of(collection) is None)


def _rebuild(client: ClientAPI, name: str, show_progress: bool) -> int:
    finished = recover(client, name)
    source = open_collection(name, client=client)
    target = Target(
        _ACTION, CollectionSettings.of(source), None, partial(_as_stored, page_size(client)), read_vectors=True
    )
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
    except StoreUnavailableError:
        raise
    except StoreError as error:
        raise StoreError(
            f"{error} If vectors of {name!r} cannot be read, compute them anew from the texts: "
            f"minilm reembed --force --collection {name}"
        ) from error


def _as_stored(size: int, records: Iterator[Record]) -> Iterator[tuple[list[Record], list[FloatArray]]]:
    while lot := list(islice(records, size)):
        yield lot, [record.vector for record in lot if record.vector is not None]


def _size(directory: Path) -> int:
    size = 0
    for file in directory.rglob("*"):
        # Another program may remove it meanwhile.
        with suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size
