"""The files of a local Chroma directory: what no collection needs any more, and where an index lies."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from minilm_retrieval.errors import StoreError
from minilm_retrieval.store.local import DATABASE_FILE

if TYPE_CHECKING:
    from chromadb import Collection

_INDEX_FILES = frozenset({"header.bin", "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle"})
_BUSY_SECONDS = 10


def remove_unused_folders(directory: Path) -> int:
    """Remove index folders of a Chroma directory that its database does not mention, and say how many.

    Only a folder whose name is a UUID and that holds nothing but files of an index is removed; one that cannot be,
    because a program has it open, stays for the next time.

    Raises:
        StoreError: The database cannot be read.
    """
    # Listed before the database is read: Chroma writes there first, so a new folder is always known.
    folders = [folder for folder in directory.iterdir() if _is_index_folder(folder)]
    with _database(directory) as database:
        used = {str(id) for (id,) in database.execute("SELECT id FROM segments")}
    removed = 0
    for folder in folders:
        if folder.name not in used:
            try:
                shutil.rmtree(folder)
            except OSError:
                continue
            removed += 1
    return removed


def index_folder(directory: Path, collection: Collection) -> Path | None:
    """Return the folder of a collection's index, ``None`` if there is none.

    Raises:
        StoreError: The database cannot be read.
    """
    with _database(directory) as database:
        found = database.execute(
            "SELECT id FROM segments WHERE collection = ? AND scope = 'VECTOR'", (str(collection.id),)
        ).fetchone()
    folder = directory / str(found[0]) if found is not None else None
    return folder if folder is not None and folder.is_dir() else None


def vacuum(directory: Path) -> None:
    """Rewrite the database file of a Chroma directory without the space of what was deleted.

    Raises:
        StoreError: Another program is using it, or the disk is too full; the database is as it was.
    """
    # Not `chroma vacuum`: it waits for ever where another connection reads, and exits with 0 when it failed.
    try:
        with _database(directory) as database:
            database.execute("VACUUM")
    except StoreError as error:
        raise StoreError(
            f"Unused space could not be freed: {error} Nothing is lost. If another program has the database open, end "
            "that and try again; there must be as much free space as the file takes."
        ) from error


@contextmanager
def _database(directory: Path) -> Iterator[sqlite3.Connection]:
    file = directory / DATABASE_FILE
    try:
        address = f"{file.resolve().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
            yield database
    except sqlite3.Error as error:
        raise StoreError(f"{file} cannot be used now: {error}.") from error


def _is_index_folder(folder: Path) -> bool:
    try:
        named = str(UUID(folder.name)) == folder.name
        if not named or folder.is_symlink() or not folder.is_dir():
            return False
        return all(file.name in _INDEX_FILES and not file.is_symlink() for file in folder.iterdir())
    except (ValueError, OSError):
        return False
