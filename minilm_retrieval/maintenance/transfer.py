"""Collections to a Parquet file and back, with their vectors, so that nothing is embedded again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import CollectionMismatchError, InvalidOptionError, TransferError
from minilm_retrieval.maintenance.parquet import arrow, write_file
from minilm_retrieval.maintenance.parquet_reading import CheckedFile, storable
from minilm_retrieval.maintenance.records import Record, lacking, read_records, record_pages, write_records
from minilm_retrieval.maintenance.settings import MARK, CollectionSettings, checked_space
from minilm_retrieval.maintenance.switch import find
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import SPACES, StoredFunction
from minilm_retrieval.store.writer_lock import writer_lock

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

# Index settings that a file may ask for, and how far: a large one would take the memory of whoever imports it.
_LARGEST = {"ef_construction": 10_000, "ef_search": 10_000, "max_neighbors": 1_000, "sync_threshold": 1_000_000}


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
    be missing from the file.

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
    client: ClientAPI,
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
    that would have Chroma run somebody else's configuration. Vectors come back bit for bit, except that Chroma rounds
    in the last place those that it keeps for the space "cosine".

    Args:
        file: A file of :func:`export_collection`, or of another tool: with the columns ``id`` and ``embedding``,
            possibly ``document`` and ``metadata`` (JSON).
        client: A Chroma client, see :func:`minilm_retrieval.store.connect`.
        name: The collection's name; ``None`` for that in the file.
        space: Distance of a new collection, where the file does not say: ``"cosine"`` unless given.
        show_progress: Show a progress bar on standard error.

    Raises:
        TransferError: The file cannot be read, is cut off, or holds something that cannot be stored.
        CollectionMismatchError: The collection is there, with another dimension, space or model.
        InvalidOptionError: No name, or one that Chroma refuses; or a space other than the file's.
        StoreError, StoreLockedError: The store failed, or another process is writing to it.
        MissingExtraError: pyarrow is not installed.
    """
    started = time.perf_counter()
    checked_space(space)
    checked = CheckedFile.of(Path(file))
    settings, function, note = _settings(checked, space)
    name = name or str((checked.description or {}).get("collection") or "")
    if not name:
        raise InvalidOptionError(f"{file} does not say which collection it is of; give a name.")
    with writer_lock(client, f"importing {name!r}"):
        collection = find(client, name)
        created = collection is None
        if collection is None:
            collection = settings.create(client, name, function)
        else:
            asked = space is not None or checked.description is not None
            note = _compare(collection, checked, settings, asked) or note
        written = 0
        with progress_bar("Importing", checked.count, show_progress, "records") as advance:
            for page in checked.pages():
                wanted, replaced = lacking(collection, page, vectors=True)
                vectors = [record.vector for record in wanted if record.vector is not None]
                write_records(collection, wanted, vectors, replaced)
                written += len(wanted)
                advance(len(page))
    seconds = time.perf_counter() - started
    return ImportReport(name, created, checked.count, written, checked.count - written, note, seconds)


def _settings(checked: CheckedFile, space: str | None) -> tuple[CollectionSettings, Any, str | None]:
    """Return the settings that a file asks for, as far as they can be trusted, and what was left out."""
    if checked.description is None:
        return CollectionSettings(space or "cosine", "hnsw", {}, StoredFunction(None, {}), {}), None, None
    said = checked.description
    try:
        recorded = StoredFunction(said["function"]["name"], dict(said["function"]["config"]))
        tuning = dict(said["index"].get("hnsw") or {})
        metadata = {
            key: value
            for key, value in dict(said["metadata"]).items()
            if key != MARK and not key.startswith("hnsw:") and storable(value)
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TransferError(f"{checked.file}: its settings are not readable: {error!r}.") from error
    if said.get("space") not in SPACES:
        raise TransferError(f"{checked.file}: its space is {said.get('space')!r}; expected one of {SPACES}.")
    if space not in (None, said["space"]):
        raise InvalidOptionError(
            f"{checked.file} says that its space is {said['space']!r}, not {space!r}. Import it as it is; "
            f"`minilm reembed --space {space}` changes it."
        )
    function, note = _trusted_function(checked.file, recorded)
    trusted = recorded if function is not None else StoredFunction(None, {})
    return CollectionSettings(said["space"], "hnsw", _tuning(tuning), trusted, metadata), function, note


def _tuning(said: Mapping[str, Any]) -> dict[str, int]:
    return {
        key: said[key] for key, largest in _LARGEST.items() if type(said.get(key)) is int and 2 <= said[key] <= largest
    }


def _trusted_function(file: Path, recorded: StoredFunction) -> tuple[Any, str | None]:
    from minilm_retrieval.store.embedding_function import CHROMA_DEFAULT_NAME, NAME, MiniLMEmbeddingFunction

    if recorded.name is None:
        return None, None
    if recorded.name == CHROMA_DEFAULT_NAME:
        return MiniLMEmbeddingFunction.for_default(), None
    if recorded.name != NAME:
        return None, f"the file's embedding function {recorded.name!r} is not recorded with the collection"
    try:
        function = MiniLMEmbeddingFunction.build_from_config(dict(recorded.config))
    except InvalidOptionError as error:
        raise TransferError(f"{file}: {error}") from error
    said, known = recorded.fingerprint, function.get_config().get("fingerprint")
    if said != known:
        raise TransferError(
            f"{file} says that its vectors are of the fingerprint {said}; the model that it names has {known}."
        )
    return function, None


def _compare(collection: Collection, checked: CheckedFile, file: CollectionSettings, asked: bool) -> str | None:
    """Make sure that a file's vectors belong in a collection; say so where nobody can know."""
    name, there = collection.name, CollectionSettings.of(collection)
    first = read_records(collection, vectors=True, limit=1)
    dimension = len(first[0].vector) if first and first[0].vector is not None else None
    if None not in (dimension, checked.dimension) and dimension != checked.dimension:
        raise CollectionMismatchError(
            f"The collection {name!r} holds vectors of {dimension} numbers, {checked.file} of {checked.dimension}. "
            "Import into a new collection."
        )
    if asked and there.space != file.space:
        raise CollectionMismatchError(
            f"The collection {name!r} has the space {there.space!r}, {checked.file} {file.space!r}. Import into a new "
            "collection."
        )
    ours, theirs = there.function, file.function
    if ours.fingerprint is not None and theirs.fingerprint is not None:
        if ours.fingerprint != theirs.fingerprint:
            raise CollectionMismatchError(
                f"The collection {name!r} was embedded with the model of fingerprint {ours.fingerprint}, "
                f"{checked.file} with {theirs.fingerprint}. Import into a new collection."
            )
        return None
    if (ours.name, ours.config) == (theirs.name, theirs.config) and ours.name is not None:
        return None
    if ours.same_model and theirs.same_model:
        return None
    return "whether the file's vectors are of the collection's model is not recorded; `minilm verify` finds out"
