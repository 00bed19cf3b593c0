"""What is particular to a local Chroma directory: where it is, whether it is full, and whether others wrote to it."""

from __future__ import annotations

import os
import shutil
import weakref
from pathlib import Path
from typing import Any

DATABASE_FILE = "chroma.sqlite3"
_SERVER_CLIENT = "FastAPI"
_LITTLE_SPACE = 4 * 1024 * 1024
# Source: "The Database Header" of SQLite's file format: a counter that every transaction raises.
_CHANGE_COUNTER = slice(24, 28)
_HEADER_BYTES = 100

_last_changes: weakref.WeakKeyDictionary[Any, bytes] = weakref.WeakKeyDictionary()


def local_directory(client: Any) -> Path | None:
    """Return the directory of a client over a local database; ``None`` for a server, or one in memory."""
    settings = client.get_settings()
    if settings.chroma_api_impl.endswith(_SERVER_CLIENT) or not settings.is_persistent:
        return None
    return Path(settings.persist_directory)


def is_database(path: str | os.PathLike[str]) -> bool:
    """Return whether a directory holds a Chroma database."""
    return Path(path, DATABASE_FILE).is_file()


def full_disk(client: Any) -> str:
    """Return a sentence about the disk of a local directory where it is full, which Chroma's own errors do not say."""
    directory = local_directory(client)
    try:
        if directory is None or (free := shutil.disk_usage(directory).free) >= _LITTLE_SPACE:
            return ""
    except OSError:
        return ""
    return f" The disk of {directory} is full: {free // 1024} KiB are free."


def changes_of(client: Any) -> bytes | None:
    """Return what differs after each change of a local directory; ``None`` for a server, or a database in memory."""
    directory = local_directory(client)
    return None if directory is None else _change_counter(directory)


def forget_stale_indexes(client: Any) -> None:
    """Make a client over a local directory read its indexes anew if the database has changed since it read or wrote it.

    Chroma keeps indexes in memory and does not look whether another process has written to them; the next write would
    put the old index over the new one, and its vectors would be lost.
    """
    directory = local_directory(client)
    server = getattr(client, "_server", client)
    # Noted as it was before: what is written meanwhile is seen the next time.
    if directory is not None and _last_changes.get(server) != (counter := _change_counter(directory)):
        server.start()
        if counter is not None:
            _last_changes[server] = counter


def note_own_changes(client: Any) -> None:
    """Note that the database is as this client left it."""
    directory = local_directory(client)
    if directory is not None and (counter := _change_counter(directory)) is not None:
        _last_changes[getattr(client, "_server", client)] = counter


def _change_counter(directory: Path) -> bytes | None:
    try:
        with (directory / DATABASE_FILE).open("rb") as file:
            return file.read(_HEADER_BYTES)[_CHANGE_COUNTER]
    except OSError:
        return None
