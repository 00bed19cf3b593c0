"""Open a Chroma collection, and read what it says about itself."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from minilm_retrieval.errors import CollectionMismatchError, CollectionNotFoundError, InvalidOptionError, StoreError
from minilm_retrieval.model import standard_fingerprint
from minilm_retrieval.store.client import connect, store_errors
from minilm_retrieval.store.stored_function import stored_function

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI
    from chromadb.api.types import EmbeddingFunction, Space

    from minilm_retrieval.embedder import MiniLMEmbedder
    from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction

SPACES = ("cosine", "l2", "ip")
REWRITING = ".rewriting"
REPLACED = ".replaced"
BEFORE = ".before"
"""While a collection is rewritten, these end the name of the new one, of the old one once it makes way, and of an old
one that is kept; see :mod:`minilm_retrieval.maintenance.switch`."""
# Source: Chroma's rule for the names of collections, less the dot that would begin or end one.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")


def open_collection(
    name: str,
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
    space: str = "cosine",
    embedder: MiniLMEmbedder | None = None,
) -> Collection:
    """Open a Chroma collection, or make one.

    A collection made by Chroma's default function is opened with this library's engine in its place; one made here
    records this library's function, so that Chroma's own ``add`` and ``query`` embed with it too.

    Args:
        name: The collection's name, 3 characters or more.
        path: A local Chroma directory; or else
        host: a server's host name, with ``port`` (8000), ``ssl`` and ``headers``; or else
        port: See ``host``.
        ssl: See ``host``.
        headers: See ``host``.
        tenant: Of a server or directory; ``None`` for Chroma's default, or the key's.
        database: Likewise.
        api_key: Of Chroma Cloud, which is reached where no ``host`` is given.
        timeout: Seconds that one try of a request to a server may take (60).
        retry_for: Seconds during which it is tried again (60), see :func:`minilm_retrieval.store.connect`.
        client: Or else a Chroma client that exists already.
        create: Make the collection, and a local or named database, if there is none.
        space: Distance of a new collection: ``"cosine"``, ``"l2"`` or ``"ip"``.
        embedder: What a new collection is embedded with, ``None`` for all-MiniLM-L6-v2 with its defaults; what Chroma's
            own ``add`` and ``query`` embed with, where this library or Chroma's default function made the collection.

    Raises:
        CollectionMismatchError: It was made with a model other than the embedder's.
        CollectionNotFoundError: There is no such collection and ``create`` is false; the message lists those there are.
        InvalidOptionError: A wrong name, space, or combination of places.
        StoreError: The store cannot be opened or reached.
        MissingExtraError: chromadb is not installed.
    """
    if space not in SPACES:
        raise InvalidOptionError(f"space={space!r} is not offered; expected one of {', '.join(SPACES)}.")
    if embedder is not None:
        checked_embedder(embedder)
    store = connect(
        path=path,
        host=host,
        port=port,
        ssl=ssl,
        headers=headers,
        tenant=tenant,
        database=database,
        api_key=api_key,
        timeout=timeout,
        retry_for=retry_for,
        client=client,
        create=create,
    )
    found = find_collection(store, name)
    if found is not None:
        return _with_function(store, found, embedder)
    _refuse_half_switched(store, name)
    if not create:
        names = collection_names(store)
        listed = f"There are: {', '.join(names)}." if names else "There are none."
        raise CollectionNotFoundError(f"No collection {name!r} here. {listed}", "Pass create=True to make it.")
    return _create(store, name, space, embedder)


def checked_embedder(embedder: MiniLMEmbedder) -> MiniLMEmbedder:
    """Return an embedder, having made sure that it is one.

    Raises:
        InvalidOptionError: It is something else, such as a framework's class that holds one.
    """
    from minilm_retrieval.embedder import MiniLMEmbedder

    if not isinstance(embedder, MiniLMEmbedder):
        raise InvalidOptionError(
            f"embedder must be a MiniLMEmbedder, got {type(embedder).__name__}. This library's classes for Chroma, "
            "LangChain and LlamaIndex hold theirs as the attribute embedder."
        )
    return embedder


def checked_collection(collection: Collection) -> Collection:
    """Return a collection, having made sure that it is an opened one of a synchronous client.

    Raises:
        InvalidOptionError: It is something else.
    """
    if inspect.iscoroutinefunction(getattr(collection, "get", None)):
        raise InvalidOptionError(
            "Expected a collection of a synchronous Chroma client, got one of an asynchronous client. Pass one of "
            "open_collection(name, host=...), or of chromadb.HttpClient; a Retriever's asearch() keeps the event loop "
            "free."
        )
    if not hasattr(collection, "configuration_json"):
        raise InvalidOptionError(
            f"Expected a Chroma collection, got {type(collection).__name__}. Open one with open_collection(name, "
            "path=...)."
        )
    return collection


def collection_names(client: ClientAPI) -> list[str]:
    """Return the names of all collections of a client, sorted."""
    with store_errors("listing collections"):
        return sorted(collection.name for collection in client.list_collections())


def _refuse_half_switched(client: ClientAPI, name: str) -> None:
    """Keep a collection from being made anew in the place of one that is being rewritten."""
    aside = (name + REPLACED, name + BEFORE)
    if find_collection(client, name + REWRITING) and any(find_collection(client, old) for old in aside):
        raise StoreError(
            f"The collection {name!r} is being rewritten, or that was interrupted at its last step; nothing is lost. "
            f"If nobody is at work on it, finish it with: minilm compact --collection {name}"
        )


def find_collection(client: ClientAPI, name: str) -> Collection | None:
    """Return a collection without an embedding function, ``None`` if there is none of that name.

    Raises:
        InvalidOptionError: The name is no text.
    """
    from chromadb.errors import NotFoundError

    if not isinstance(name, str):
        raise InvalidOptionError(f"A collection's name is a text, got {type(name).__name__}: {name!r}.")
    # A server would take any other for a part of an address, which may lead into another database.
    if not _NAME.fullmatch(name):
        return None
    with store_errors(f"opening the collection {name!r}"):
        try:
            return client.get_collection(name, embedding_function=None)
        except NotFoundError:
            return None


def _with_function(client: ClientAPI, collection: Collection, embedder: MiniLMEmbedder | None) -> Collection:
    """Have a collection of this library's function, or of Chroma's default, embed with this library's engine."""
    from minilm_retrieval.store.embedding_function import CHROMA_DEFAULT_NAME, MiniLMEmbeddingFunction

    stored = stored_function(collection)
    if stored.name == CHROMA_DEFAULT_NAME:
        function, fingerprint = MiniLMEmbeddingFunction.for_default(), standard_fingerprint()
    elif embedder is not None and stored.fingerprint is not None:
        function, fingerprint = MiniLMEmbeddingFunction.of(embedder), stored.fingerprint
    else:
        return collection
    if embedder is not None:
        # As it would be recorded, for which all-MiniLM-L6-v2 need not be loaded.
        given = MiniLMEmbeddingFunction.of(embedder).get_config()["fingerprint"]
        if given != fingerprint:
            raise CollectionMismatchError(
                f"The collection {collection.name!r} was embedded with the model of fingerprint {fingerprint}; the "
                f"embedder given has {given}. Pass the one it was made with, or none."
            )
        function.embedder = embedder
    with store_errors(f"opening the collection {collection.name!r}"):
        return client.get_collection(collection.name, embedding_function=_for_chroma(function))


def _create(client: ClientAPI, name: str, space: str, embedder: MiniLMEmbedder | None) -> Collection:
    from chromadb.errors import InvalidArgumentError

    from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction

    function = MiniLMEmbeddingFunction() if embedder is None else MiniLMEmbeddingFunction.of(embedder)
    with store_errors(f"making the collection {name!r}"):
        try:
            return client.get_or_create_collection(
                name,
                embedding_function=_for_chroma(function),
                configuration={"hnsw": {"space": cast("Space", space)}},
            )
        except (InvalidArgumentError, ValueError) as error:
            raise InvalidOptionError(f"Chroma refused the collection name {name!r}: {error}") from error


def _for_chroma(function: MiniLMEmbeddingFunction) -> EmbeddingFunction[Any]:
    """Chroma's signatures ask for functions of texts or images; ours is of texts."""
    return cast("EmbeddingFunction[Any]", function)


def space_of(collection: Collection) -> str:
    """Return the distance of a collection: ``"cosine"``, ``"l2"`` (squared) or ``"ip"``."""
    configuration = collection.configuration_json or {}
    for index in ("hnsw", "spann"):
        settings = configuration.get(index) or {}
        if settings.get("space") in SPACES:
            return str(settings["space"])
    # Collections of older versions have it in their metadata; Chroma's own default is l2.
    return str((collection.metadata or {}).get("hnsw:space", "l2"))


def records(
    ids: Sequence[str], documents: Sequence[str | None] | None, metadatas: Sequence[Mapping[str, Any] | None] | None
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield ``(id, document, metadata)`` of a Chroma answer, which leaves out what no record has."""
    nothing: list[Any] = [None] * len(ids)
    for id, document, metadata in zip(ids, documents or nothing, metadatas or nothing, strict=True):
        yield id, document, dict(metadata or {})
