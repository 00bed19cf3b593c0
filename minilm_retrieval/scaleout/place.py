"""Where a collection is, so that another process can open it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store import open_collection
from minilm_retrieval.store.local import local_directory

if TYPE_CHECKING:
    from chromadb import Collection

# What Chroma's client adds to the headers that it was given.
_OWN_HEADERS = frozenset({"content-type", "user-agent"})


@dataclass(frozen=True)
class Place:
    """A collection on a server.

    Attributes:
        name: Of the collection.
        arguments: What else :func:`minilm_retrieval.open_collection` is to be told.
    """

    name: str
    arguments: dict[str, Any]

    @classmethod
    def of(cls, collection: Collection) -> Place:
        """Return where an open collection is.

        Raises:
            InvalidOptionError: It is in a directory, or in memory, where only one process may write.
        """
        settings = collection._client.get_settings()
        if settings.chroma_server_host is None:
            directory = local_directory(collection._client)
            started = f"chroma run --path {directory}" if directory else "chroma run"
            raise InvalidOptionError(
                f"The collection {collection.name!r} is in a local directory, to which one process writes at a time; "
                f"the workers of a cluster write side by side. Start a server, with: {started}; and say host= (--host)."
            )
        headers = settings.chroma_server_headers or {}
        return cls(
            collection.name,
            {
                "host": settings.chroma_server_host,
                "port": settings.chroma_server_http_port,
                "ssl": bool(settings.chroma_server_ssl_enabled),
                "headers": {name: value for name, value in headers.items() if name.lower() not in _OWN_HEADERS},
            },
        )

    def open(self) -> Collection:
        """Open the collection in this process."""
        return open_collection(self.name, **self.arguments)
