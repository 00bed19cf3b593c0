"""Connect to Chroma, and turn its errors into ours."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    DatabaseNotFoundError,
    InvalidFilterError,
    InvalidOptionError,
    MiniLMError,
    MissingExtraError,
    StoreError,
    StoreUnavailableError,
)
from minilm_retrieval.store.local import DATABASE_FILE, is_database
from minilm_retrieval.store.server import RETRY_FOR, TIMEOUT, NoAnswerError, Server

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

_ABOUT_A_FILTER = re.compile(
    r"\bwhere\b|where_document|\boperand value\b|\boperator \$|cannot filter|expression tree", re.IGNORECASE
)
_COLLECTION_GONE = re.compile(r"Collection \S+ does not exist")
_OPEN_AGAIN = "since it was opened, as minilm reembed and compact do. Open it again."
# Of an index that lacks a record, and of one that was empty when it was opened and has been filled since.
_INDEX_LACKS_RECORD = re.compile(r"Error finding id|Nothing found on disk")

# Chroma takes these words, as whatever setting, for a configuration of its first versions.
_OLD_SETTINGS = frozenset({"duckdb", "duckdb+parquet", "clickhouse", "local", "rest"})
# The working directory in which each path was first opened.
_opened_in: dict[str, Path] = {}


def chroma() -> Any:
    """Return the chromadb module.

    Raises:
        MissingExtraError: It is not installed.
        ImportError: It is, and cannot be imported.
    """
    try:
        import chromadb
    except ModuleNotFoundError as error:
        if error.name != "chromadb":
            raise
        raise MissingExtraError("chromadb", "chroma") from error
    return chromadb


def connect(
    *,
    path: str | os.PathLike[str] | None = None,
    host: str | None = None,
    port: int | None = None,
    ssl: bool = False,
    headers: Mapping[str, str] | None = None,
    tenant: str | None = None,
    database: str | None = None,
    api_key: str | None = None,
    timeout: float | None = None,
    retry_for: float | None = None,
    client: ClientAPI | None = None,
    create: bool = False,
) -> ClientAPI:
    """Return a Chroma client over a directory, a server, or the client given. Telemetry is off in those made here.

    To a server, what failed for a reason that may pass is asked again, with growing waits: connections that fail or
    break, time-outs, and the statuses 429, 502, 503 and 504; a request that the server refused is not. The first
    contact, which finds out whether the address is right, takes 5 seconds at most.

    Args:
        path: A local directory.
        host: A server's host name.
        port: Its port, 8000 unless given.
        ssl: Whether the server speaks TLS. The environment variable ``SSL_CERT_FILE`` names the certificates of an
            authority of one's own.
        headers: Sent with every request, such as a token.
        tenant: Of a server or directory; ``None`` for Chroma's default, or the key's.
        database: Likewise.
        api_key: Of Chroma Cloud, which is reached where no ``host`` is given.
        timeout: Seconds that one try of a request to a server may take, 60 unless given.
        retry_for: Seconds since the first try during which it is tried again, 60 unless given; 0 for never. So a
            request takes at most the longer of both.
        client: A client that exists already; it is left as it is.
        create: Make the directory if it holds no database yet, and a named database that there is not.

    Raises:
        InvalidOptionError: Not exactly one of ``path``, ``host`` (or ``api_key``) and ``client`` was given, or a time
            is out of range.
        StoreError: There is no database in the directory, no server answers, or it has no such tenant or database.
        MissingExtraError: chromadb is not installed.
    """
    remote = host if host is not None else api_key
    given = [name for name, value in (("path", path), ("host", remote), ("client", client)) if value is not None]
    if len(given) != 1:
        listed = " and ".join(given) or "none of them"
        raise InvalidOptionError(
            f"Say where the collection is with exactly one of path, host (or api_key) or client; got {listed}."
        )
    if remote is None and (port is not None or ssl or headers or timeout is not None or retry_for is not None):
        raise InvalidOptionError("port, ssl, headers, timeout and retry_for go with host.")
    if client is not None:
        if tenant is not None or database is not None:
            raise InvalidOptionError(
                "A client has its own tenant and database; tenant and database go with path or host."
            )
        if inspect.iscoroutinefunction(getattr(client, "get_collection", None)):
            raise InvalidOptionError("client must be a synchronous Chroma client, such as chromadb.HttpClient.")
        return client
    if remote is None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise InvalidOptionError(f"path must be a directory, got {path!r}; the one you are in is '.'.")
        return _local_client(Path(path), create, tenant, database)
    server = Server(
        host,
        port,
        ssl,
        dict(headers or {}),
        tenant,
        database,
        api_key,
        TIMEOUT if timeout is None else timeout,
        RETRY_FOR if retry_for is None else retry_for,
    )
    return server.client(chroma(), create)


def _local_client(path: Path, create: bool, tenant: str | None, database: str | None) -> ClientAPI:
    chromadb = chroma()
    if not create and not is_database(path):
        raise StoreError(
            f"{path} holds no Chroma database (no {DATABASE_FILE}). Index something first, or check the path."
        )
    quiet = chromadb.config.Settings(anonymized_telemetry=False)
    try:
        try:
            client: ClientAPI = chromadb.PersistentClient(_name(path), settings=quiet)
        except ValueError as error:
            # The process has this directory open already, through a client of the caller's with ordinary settings.
            if "different settings" not in str(error):
                raise
            client = chromadb.PersistentClient(_name(path))
        if tenant is not None or database is not None:
            _enter(client, tenant or chromadb.DEFAULT_TENANT, database or chromadb.DEFAULT_DATABASE, create)
    except chromadb.errors.NotFoundError as error:
        raise DatabaseNotFoundError(f"In {path}: {error}") from error
    except Exception as error:
        raise StoreError(f"The Chroma database at {path} cannot be opened: {error}") from error
    if not is_database(path):
        raise StoreError(
            f"The Chroma database at {path} was removed while this process had it open, and Chroma still has. Take "
            "another path, or start a new process."
        )
    return client


def _name(path: Path) -> str:
    # Clients of one process share what Chroma has open under the same name, and must, so that no index in memory is
    # stale; but after a change of the working directory, a relative path names another directory.
    here = Path.cwd()
    name = str(path)
    return name if name not in _OLD_SETTINGS and _opened_in.setdefault(name, here) == here else str(path.absolute())


def _enter(client: Any, tenant: str, database: str, create: bool) -> None:
    # Chroma would make a database of a tenant that there is not, and then not find it.
    client._server.get_tenant(name=tenant)
    if create:
        from chromadb.errors import NotFoundError

        try:
            client._server.get_database(name=database, tenant=tenant)
        except NotFoundError:
            client._server.create_database(name=database, tenant=tenant)
    client.set_tenant(tenant, database)


def check_current(collection: Collection) -> None:
    """Make sure that an opened collection is still the one of its name, and have it say what its record says by now.

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
        raise CollectionNotFoundError(f"The collection {collection.name!r} {happened} {_OPEN_AGAIN}")
    # Chroma's copy is of when the collection was opened; who goes by it undoes what others changed since.
    collection._model = found


class CollectionGoneError(CollectionNotFoundError, StoreError):
    """The collection was there when it was opened, and is not any more."""


class StaleIndexError(StoreError):
    """The index that this process holds in memory lacks a record that the database has, or all of them."""


@contextmanager
def store_errors(action: str, filtered: bool = False) -> Iterator[None]:
    """Raise what goes wrong inside as an error of this library that says what was being done.

    Args:
        action: What is being done.
        filtered: Whether with a filter of the caller's, which is then what Chroma's complaints are about.

    Raises:
        InvalidFilterError: The filter was refused.
        CollectionMismatchError: The collection's vectors have another dimension.
        CollectionGoneError: The collection was deleted, or replaced by another, since it was opened.
        StaleIndexError: The index lacks a record.
        StoreUnavailableError: A server gave no answer in time.
        StoreError: Anything else.
    """
    try:
        yield
    except NoAnswerError as error:
        raise StoreUnavailableError(f"Chroma failed while {action}: {error}") from error
    except MiniLMError:
        raise
    except Exception as error:
        message = str(error)
        if "dimension" in message and "expecting" in message:
            raise CollectionMismatchError(f"{message}. Use the model that wrote the collection.") from error
        if _COLLECTION_GONE.search(message):
            raise CollectionGoneError(
                f"Chroma failed while {action}: {message.rstrip('.')}. It was deleted or replaced {_OPEN_AGAIN}"
            ) from error
        if _INDEX_LACKS_RECORD.search(message):
            raise StaleIndexError(
                f"Chroma failed while {action}: its index has no vector of a record that is stored. If another process "
                "writes to this directory, try again in a new one; if not, minilm verify says what is damaged."
            ) from error
        complaint = isinstance(error, (TypeError, ValueError)) or type(error).__name__ == "InvalidArgumentError"
        if (filtered and complaint) or _ABOUT_A_FILTER.search(message):
            raise InvalidFilterError(f"Chroma refused the filter: {' '.join(message.split())}") from error
        raise StoreError(f"Chroma failed while {action}: {type(error).__name__}: {message}") from error
