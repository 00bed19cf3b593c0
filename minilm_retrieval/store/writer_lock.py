"""One writer at a time for a local Chroma directory; the lock says who holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from minilm_retrieval.errors import StoreError, StoreLockedError
from minilm_retrieval.store.local import forget_stale_indexes, local_directory, note_own_changes

_LOCK_FILE = "minilm-writer.lock"
_HOLDER_FILE = "minilm-writer.json"


@contextmanager
def writer_lock(client: Any, action: str) -> Iterator[None]:
    """Keep other writers of this library away from a local directory meanwhile; a server needs no such lock.

    The operating system drops the lock when its process ends, however it ends, so a dead writer locks nobody out.
    The lock is advisory: it is between users of this library, and readers are never stopped. What other processes wrote
    before is seen by the holder, which Chroma alone does not see to.

    Args:
        client: A Chroma client, or a collection's.
        action: What the holder does, for the message of the others.

    Raises:
        StoreLockedError: Another writer is at work; the message names its process, host and command.
        StoreError: The lock file cannot be made.
    """
    directory = local_directory(client)
    if directory is None:
        yield
        return
    lock = FileLock(directory / _LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreLockedError(_refusal(directory)) from None
    except OSError as error:
        raise StoreError(f"{directory} cannot be locked for writing: {error}") from error
    try:
        _note_holder(directory, action)
        forget_stale_indexes(client)
        yield
    finally:
        note_own_changes(client)
        with suppress(OSError):
            (directory / _HOLDER_FILE).unlink()
        lock.release()


def _note_holder(directory: Path, action: str) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "action": action,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]),
    }
    try:
        # Until it is written whole, nobody is told the name of a holder that died.
        (directory / _HOLDER_FILE).unlink(missing_ok=True)
        (directory / _HOLDER_FILE).write_text(json.dumps(holder), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{directory} cannot be written: {error}") from error


def _refusal(directory: Path) -> str:
    start = f"{directory} is being written by"
    remedy = "Wait until it has finished, or stop it; to write from several processes, run a Chroma server."
    try:
        holder = json.loads((directory / _HOLDER_FILE).read_text(encoding="utf-8"))
        who = (
            f"pid {holder['pid']} on {holder['host']}, since {holder['since']}, {holder['action']}: {holder['command']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return f"{start} another process or call, which has not said yet who it is. {remedy}"
    if (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname()):
        return f"{start} another call in this process ({who}). Wait until it has returned, or run a Chroma server."
    return f"{start} another process ({who}). {remedy}"
