"""Collections to a Parquet file and back, with their vectors, so that nothing is embedded again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minilm_retrieval.arrow import arrow
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.maintenance.file_checks import belonging_note, settings_of
from minilm_retrieval.maintenance.parquet import write_file
from minilm_retrieval.maintenance.parquet_reading import CheckedFile
from minilm_retrieval.maintenance.records import Record, differing, record_pages, write_records
from minilm_retrieval.maintenance.settings import CollectionSettings, checked_space
from minilm_retrieval.maintenance.switch import recover
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import find_collection
from minilm_retrieval.store.writer_lock import writer_lock

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        collection: The collection's name.
        created: Whether it was made by this call.
        records: How many records the file holds.
        written: How many were written.
        unchanged: How many were in the collection already, with the same content.
        note: What is not as the file says, ``None`` where everything is.
        seconds: Wall time.
    """

    collection: str
    created: bool
    records: int
    written: int
    unchanged: int
    note: str | None
    seconds: float


def export_collection(collection: Collection, file: str | os.PathLike[str], *, show_progress: bool = False) -> int:
    """Write a collection to a Parquet file: ids, texts, metadata and vectors as they are, and its settings.

    The file is written under another name and renamed when it is complete. It streams; a local directory is locked
    against writers of this library meanwhile. On a server that others write to, records that come or go meanwhile may
    be missing from the file. Which metadata is indexed, a Chroma ``Schema``, is not in the file.

    Args:
        collection: An open Chroma collection, of this library or of another tool.
        file: Where to; a file of that name is replaced.
        show_progress: Show a progress bar on standard error.

    Returns:
        How many records were written.

    Raises:
        TransferError: The file cannot be written.
        StoreError, StoreLockedError: Records or vectors cannot be read, or another process is writing.
        MissingExtraError: pyarrow is not installed.
    """
    arrow()
    settings = CollectionSettings.of(collection)
    description = {
        "collection": collection.name,
        "space": settings.space,
        "index": {settings.index: dict(settings.tuning)},
        "metadata": dict(settings.metadata),
        "function": {"name": settings.function.name, "config": dict(settings.function.config)},
    }
    with writer_lock(collection._client, f"exporting {collection.name!r}"):
        with store_errors(f"counting the records of {collection.name!r}"):
            total = collection.count()
        with progress_bar("Exporting", total, show_progress, "records") as advance:
            return write_file(Path(file), description, _counted(record_pages(collection, vectors=True), advance))


def _counted(pages: Iterator[list[Record]], advance: Callable[[int], None]) -> Iterator[list[Record]]:
    for page in pages:
        yield page
        advance(len(page))


def import_collection(
    file: str | os.PathLike[str],
    client: ClientAPI | Callable[[], ClientAPI],
    name: str | None = None,
    *,
    space: str | None = None,
    show_progress: bool = False,
) -> ImportReport:
    """Put the records of a Parquet file into a collection, which is made if there is none.

    The whole file is checked before anything is written. Records that are there already are left as they are; those
    with other content are replaced; others of the collection stay. So it can be run again after an interruption.

    A new collection gets the file's space, index settings and metadata. The file's word for an embedding function is
    taken for this library's and for Chroma's default, whose configuration is checked; any other is not recorded, since
    that would have Chroma run somebody else's configuration. Where either the collection or the file is known to be of
    all-MiniLM-L6-v2 and nothing is known of the other, a few texts of the latter are embedded and compared. Vectors
    come back bit for bit, except that Chroma rounds in the last place those that it keeps for the space "cosine".

    Args:
        file: A file of :func:`export_collection`, or of another tool: with the columns ``id`` and ``embedding``,
            possibly ``document`` and ``metadata`` (JSON). Or a folder of such files of one collection.
        client: A Chroma client, see :func:`minilm_retrieval.store.connect`, or what connects: it is called when the
            file has been found sound.
        name: The collection's name; ``None`` for that in the file.
        space: Distance of a new collection, where the file does not say: ``"cosine"`` unless given.
        show_progress: Show a progress bar on standard error.

    Raises:
        TransferError: The file cannot be read, is cut off, or holds something that cannot be stored.
        CollectionMismatchError: The collection is there, with another dimension, space, model or precision.
        InvalidOptionError: No name, or one that Chroma refuses; or a space other than the file's.
        StoreError, StoreLockedError: The store failed, or another process is writing to it.
        MissingExtraError: pyarrow is not installed.
    """
    started = time.perf_counter()
    checked_space(space)
    checked = CheckedFile.of(Path(file))
    settings, function, note = settings_of(checked, space)
    name = name or str((checked.description or {}).get("collection") or "")
    if not name:
        raise InvalidOptionError(f"{file} does not say which collection it is of; give a name.")
    store = client() if callable(client) else client
    with writer_lock(store, f"importing {name!r}"):
        recover(store, name)
        collection = find_collection(store, name)
        created = collection is None
        if collection is None:
            collection = settings.create(store, name, function)
        else:
            asked = space is not None or checked.description is not None
            note = belonging_note(collection, checked, settings, asked) or note
        written = 0
        with progress_bar("Importing", checked.count, show_progress, "records") as advance:
            for page in checked.pages():
                wanted, held = differing(collection, page, vectors=True)
                vectors = [record.vector for record in wanted if record.vector is not None]
                write_records(collection, wanted, vectors, held)
                written += len(wanted)
                advance(len(page))
    seconds = time.perf_counter() - started
    return ImportReport(name, created, checked.count, written, checked.count - written, note, seconds)
