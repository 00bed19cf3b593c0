"""Where a collection is, so that another process can open it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store import open_collection
from minilm_retrieval.store.local import local_directory
from minilm_retrieval.store.server import reaching

if TYPE_CHECKING:
    from chromadb import Collection


@dataclass(frozen=True)
class Place:
    """A collection on a server.

    Attributes:
        name: Of the collection.
        arguments: What else :func:`minilm_retrieval.open_collection` is to be told.
    """

    name: str
    arguments: dict[str, Any] = field(repr=False)

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
        return cls(collection.name, reaching(collection))

    def open(self) -> Collection:
        """Open the collection in this process."""
        return open_collection(self.name, **self.arguments)
