"""Connect to Chroma, and turn its errors into ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    InvalidFilterError,
    InvalidOptionError,
    MiniLMError,
    MissingExtraError,
    StoreError,
)
from minilm_retrieval.store.local import DATABASE_FILE, is_database

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

DEFAULT_PORT = 8000
_ABOUT_A_FILTER = re.compile(
    r"\bwhere\b|where_document|\boperand value\b|\boperator \$|cannot filter|expression tree", re.IGNORECASE
)


def chroma() -> Any:
    """Return the chromadb module.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import chromadb
    except ImportError as error:
        raise MissingExtraError("chromadb", "chroma") from error
    return chromadb


def connect(
    *,
    path: str | os.PathLike[str] | None = None,
    host: str | None = None,
    port: int | None = None,
    ssl: bool = False,
    headers: Mapping[str, str] | None = None,
    client: ClientAPI | None = None,
    create: bool = False,
) -> ClientAPI:
    """Return a Chroma client over a directory, a server, or the client given. Telemetry is off in those made here.

    Args:
        path: A local directory.
        host: A server's host name.
        port: Its port, 8000 unless given.
        ssl: Whether the server speaks TLS.
        headers: Sent with every request, such as a token.
        client: A client that exists already.
        create: Make the directory if it holds no database yet.

    Raises:
        InvalidOptionError: Not exactly one of ``path``, ``host`` and ``client`` was given.
        StoreError: There is no database in the directory, or no server answers.
        MissingExtraError: chromadb is not installed.
    """
    given = [name for name, value in (("path", path), ("host", host), ("client", client)) if value is not None]
    if len(given) != 1:
        listed = " and ".join(given) or "none of them"
        raise InvalidOptionError(f"Say where the collection is with exactly one of path, host or client; got {listed}.")
    if host is None and (port is not None or ssl or headers):
        raise InvalidOptionError("port, ssl and headers go with host.")
    if client is not None:
        return client
    if host is not None:
        return _http_client(host, port or DEFAULT_PORT, ssl, headers)
    return _local_client(Path(os.fspath(path or "")), create)


def _http_client(host: str, port: int, ssl: bool, headers: Mapping[str, str] | None) -> ClientAPI:
    chromadb = chroma()
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    address = f"{'https' if ssl else 'http'}://{host}:{port}"
    try:
        client: ClientAPI = chromadb.HttpClient(
            host=host, port=port, ssl=ssl, headers=dict(headers or {}), settings=settings
        )
        client.heartbeat()
    except Exception as error:
        raise StoreError(f"No Chroma server answers at {address}: {error}") from error
    return client


def _local_client(path: Path, create: bool) -> ClientAPI:
    chromadb = chroma()
    if not create and not is_database(path):
        raise StoreError(
            f"{path} holds no Chroma database (no {DATABASE_FILE}). Index something first, or check the path."
        )
    quiet = chromadb.config.Settings(anonymized_telemetry=False)
    try:
        try:
            client: ClientAPI = chromadb.PersistentClient(str(path), settings=quiet)
        except ValueError as error:
            # The process has this directory open already, through a client of the caller's with ordinary settings.
            if "different settings" not in str(error):
                raise
            client = chromadb.PersistentClient(str(path))
    except Exception as error:
        raise StoreError(f"The Chroma database at {path} cannot be opened: {error}") from error
    return client


def check_current(collection: Collection) -> None:
    """Make sure that an opened collection is still the one of its name.

    Raises:
        CollectionNotFoundError: It was deleted, or another took its place, as after ``minilm reembed`` or ``compact``.
    """
    from chromadb.errors import NotFoundError

    with store_errors(f"looking up the collection {collection.name!r}"):
        try:
            found = collection._client.get_collection(
                collection.name, tenant=collection.tenant, database=collection.database
            )
        except NotFoundError:
            found = None
    if found is None or found.id != collection.id:
        happened = "was deleted or renamed" if found is None else "was replaced by another"
        raise CollectionNotFoundError(
            f"The collection {collection.name!r} {happened} since it was opened, as minilm reembed and compact do. "
            "Open it again."
        )


@contextmanager
def store_errors(action: str) -> Iterator[None]:
    """Raise what goes wrong inside as an error of this library that says what was being done.

    Raises:
        InvalidFilterError: The filter was refused.
        CollectionMismatchError: The collection's vectors have another dimension.
        StoreError: Anything else.
    """
    try:
        yield
    except MiniLMError:
        raise
    except Exception as error:
        message = str(error)
        if "dimension" in message and "expecting" in message:
            raise CollectionMismatchError(f"{message}. Use the model that wrote the collection.") from error
        if _ABOUT_A_FILTER.search(message):
            raise InvalidFilterError(f"Chroma refused the filter: {message}") from error
        raise StoreError(f"Chroma failed while {action}: {type(error).__name__}: {message}") from error
