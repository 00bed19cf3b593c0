"""Open a Chroma collection, and read what it says about itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import CollectionNotFoundError, InvalidOptionError, StoreError
from minilm_retrieval.model_files import STANDARD_MODEL
from minilm_retrieval.store.client import connect, store_errors
from minilm_retrieval.store.hits import NO_FILTER, Filter
from minilm_retrieval.store.limits import page_size

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI
    from chromadb.api.types import EmbeddingFunction, GetResult, Space

    from minilm_retrieval.embedder import MiniLMEmbedder
    from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction

SPACES = ("cosine", "l2", "ip")
REWRITING = ".rewriting"
REPLACED = ".replaced"
BEFORE = ".before"
"""While a collection is rewritten, these end the name of the new one, of the old one once it makes way, and of an old
one that is kept; see :mod:`minilm_retrieval.maintenance.switch`."""
# Chroma functions that compute this model under another name.
_SAME_MODEL_FUNCTIONS = frozenset({"default", "onnx_mini_lm_l6_v2"})
_SAME_MODEL_NAMES = frozenset({STANDARD_MODEL, STANDARD_MODEL.split("/")[1]})


@dataclass(frozen=True)
class StoredFunction:
    """The embedding function recorded with a collection.

    Attributes:
        name: Chroma's name for it, ``None`` where none is recorded.
        config: Its stored options.
    """

    name: str | None
    config: Mapping[str, Any]

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint that this library recorded, if it made the collection."""
        from minilm_retrieval.store.embedding_function import NAME

        return str(self.config["fingerprint"]) if self.name == NAME and "fingerprint" in self.config else None

    @property
    def same_model(self) -> bool | None:
        """Whether it computes all-MiniLM-L6-v2; ``None`` where nobody can tell from the record."""
        from minilm_retrieval.store.embedding_function import NAME

        if self.name is None:
            return None
        if self.name in _SAME_MODEL_FUNCTIONS:
            return True
        if self.name == NAME:
            return bool(self.config.get("model", STANDARD_MODEL) == STANDARD_MODEL)
        if self.name == "sentence_transformer":
            return self.config.get("model_name") in _SAME_MODEL_NAMES or None
        return None

    @property
    def other_model(self) -> str | None:
        """The model that the record names, ``None`` where it names none or all-MiniLM-L6-v2."""
        named = self.config.get("model_name") or self.config.get("model")
        return str(named) if named and named not in _SAME_MODEL_NAMES else None


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
        embedder: What a new collection is embedded with; ``None`` for all-MiniLM-L6-v2 with its defaults.

    Raises:
        CollectionNotFoundError: There is no such collection and ``create`` is false; the message lists those there are.
        InvalidOptionError: A wrong name, space, or combination of places.
        StoreError: The store cannot be opened or reached.
        MissingExtraError: chromadb is not installed.
    """
    if space not in SPACES:
        raise InvalidOptionError(f"space={space!r} is not offered; expected one of {', '.join(SPACES)}.")
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
        return _with_function(store, found)
    _refuse_half_switched(store, name)
    if not create:
        names = collection_names(store)
        listed = f"There are: {', '.join(names)}." if names else "There are none."
        raise CollectionNotFoundError(f"No collection {name!r} here. {listed} Pass create=True to make it.")
    return _create(store, name, space, embedder)


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
    """Return a collection without an embedding function, ``None`` if there is none of that name."""
    from chromadb.errors import NotFoundError

    with store_errors(f"opening the collection {name!r}"):
        try:
            return client.get_collection(name, embedding_function=None)
        except NotFoundError:
            return None


def _with_function(client: ClientAPI, collection: Collection) -> Collection:
    """Have a collection of Chroma's default function embed with this library's engine."""
    from minilm_retrieval.store.embedding_function import CHROMA_DEFAULT_NAME, MiniLMEmbeddingFunction

    if stored_function(collection).name != CHROMA_DEFAULT_NAME:
        return collection
    with store_errors(f"opening the collection {collection.name!r}"):
        function = _for_chroma(MiniLMEmbeddingFunction.for_default())
        return client.get_collection(collection.name, embedding_function=function)


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


def stored_function(collection: Collection) -> StoredFunction:
    """Return the embedding function recorded with a collection."""
    recorded = (collection.configuration_json or {}).get("embedding_function") or {}
    return StoredFunction(recorded.get("name"), recorded.get("config") or {})


def records(
    ids: Sequence[str], documents: Sequence[str | None] | None, metadatas: Sequence[Mapping[str, Any] | None] | None
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield ``(id, document, metadata)`` of a Chroma answer, which leaves out what no record has."""
    nothing: list[Any] = [None] * len(ids)
    for id, document, metadata in zip(ids, documents or nothing, metadatas or nothing, strict=True):
        yield id, document, dict(metadata or {})


def read_pages(collection: Collection, size: int | None = None, **selection: Any) -> Iterator[GetResult]:
    """Yield Chroma's answers to ``collection.get(**selection)``, so many records at a time; none is empty.

    Raises:
        StoreError: A page cannot be read.
    """
    most = page_size(collection._client)
    limit = min(size or most, most)
    for offset in count(0, limit):
        with store_errors(f"reading the collection {collection.name!r}"):
            page = collection.get(limit=limit, offset=offset, **selection)
        if page["ids"]:
            yield page
        if len(page["ids"]) < limit:
            return


def pages(
    collection: Collection, size: int, filter: Filter = NO_FILTER
) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
    """Yield the ids and stored vectors that pass a filter, so many at a time, in memory for one page.

    Yields:
        ``(ids, vectors)``: n ids and an array of shape ``(n, dimension)``.
    """
    for page in read_pages(collection, size, include=["embeddings"], **filter.arguments()):
        # A server sends float32 numbers as decimals, which without the type would be read as others, nearly the same.
        yield page["ids"], np.asarray(page["embeddings"], dtype=np.float32)
