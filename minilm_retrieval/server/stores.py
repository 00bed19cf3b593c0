"""Stored collections behind the server: opened when asked for, and searched with vectors that the batcher computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    InvalidFilterError,
    StoreError,
    StoreUnavailableError,
)
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import collection_names, open_collection, space_of
from minilm_retrieval.store.hits import Hit
from minilm_retrieval.store.local import forget_stale_indexes
from minilm_retrieval.store.retriever import Retriever
from minilm_retrieval.store.stored_function import stored_function

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

# What another process has written is seen after so many seconds; looking costs reading the indexes anew.
_FRESH_SECONDS = 2.0
_TRIES = 3
T = TypeVar("T")


class VectorStores:
    """The collections of one Chroma directory or server. Its methods block; call them in threads.

    Args:
        connect: Opens the client, on first use.
        embedder: What queries are embedded with; collections of another model are refused.
    """

    def __init__(self, connect: Callable[[], ClientAPI], embedder: MiniLMEmbedder) -> None:
        self._connect = connect
        self._embedder = embedder
        self._lock = threading.Lock()
        self._client: ClientAPI | None = None
        self._failed: tuple[float, StoreError] | None = None
        self._looked = float("-inf")
        self._retrievers: dict[str, tuple[Any, Retriever]] = {}

    def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return self._freshly(lambda: collection_names(self._opened()))

    def describe(self, name: str) -> dict[str, Any]:
        """Return what is known of a collection without reading its records: count, space, embedding function.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """

        def described() -> dict[str, Any]:
            collection = self._collection(name)
            with store_errors(f"counting the records of {name!r}"):
                count = collection.count()
            return {"count": count, "space": space_of(collection), "function": stored_function(collection).name}

        return self._freshly(described)

    def search(
        self, name: str, vectors: FloatArray, k: int, where: Mapping[str, Any] | None, min_score: float | None
    ) -> list[list[Hit]]:
        """Return the k nearest records of a collection for each query vector; see :class:`minilm_retrieval.Retriever`.

        Raises:
            CollectionNotFoundError: There is none of that name.
            CollectionMismatchError: It was embedded by another model.
            InvalidFilterError: Chroma refused the filter.
            StoreError: The store failed.
        """
        return self._freshly(
            lambda: self._retriever(name).search_vectors(vectors, k=k, where=where, min_score=min_score)
        )

    def _freshly(self, work: Callable[[], T]) -> T:
        """Do what reads the store; where it fails because another process has just written, do it again."""
        for _ in range(_TRIES - 1):
            try:
                return work()
            except (InvalidFilterError, CollectionMismatchError, StoreUnavailableError):
                raise
            except StoreError:
                self._looked = float("-inf")
        return work()

    def _retriever(self, name: str) -> Retriever:
        collection = self._collection(name)
        known = self._retrievers.get(name)
        if known is None or known[0] != collection.id:
            self._retrievers[name] = known = (collection.id, Retriever(collection, self._embedder))
        return known[1]

    def _collection(self, name: str) -> Collection:
        try:
            return open_collection(name, client=self._opened())
        except CollectionNotFoundError as error:
            listed = ", ".join(collection_names(self._opened())) or "none"
            raise CollectionNotFoundError(f"There is no vector store {name!r} here. There are: {listed}.") from error

    def _opened(self) -> ClientAPI:
        began = time.monotonic()
        with self._lock:
            if self._client is None:
                # Those who waited for an attempt share its failure, rather than to try one after the other.
                if self._failed is not None and self._failed[0] >= began:
                    raise type(self._failed[1])(str(self._failed[1]))
                self._client = self._connected()
            if time.monotonic() - self._looked > _FRESH_SECONDS:
                with store_errors("looking for what others wrote"):
                    forget_stale_indexes(self._client)
                self._looked = time.monotonic()
            return self._client

    def _connected(self) -> ClientAPI:
        try:
            with store_errors("opening the store"):
                return self._connect()
        except StoreError as error:
            self._failed = (time.monotonic(), error)
            raise
