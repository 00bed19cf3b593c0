"""Collections that are rewritten, a process that dies meanwhile, and what is in them then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from chromadb import Collection
from stores import fill, random_vectors

from minilm_retrieval.maintenance.records import Record, record_pages

COUNT = 25
TEXTS = [f"text {number}" for number in range(COUNT)]
METADATAS: list[Any] = [{"number": number, "even": number % 2 == 0, "tags": ["a", "b"]} for number in range(COUNT)]
CLIENT_CHANGES = ("create_collection", "delete_collection")


class Killed(BaseException):
    """Stands for the end of the process: nobody handles it."""


class Death:
    """Counts the calls that change the store, and dies at one of them: before it, or when it is done."""

    def __init__(self, patch: pytest.MonkeyPatch, client: Any, *, done_first: bool = False) -> None:
        self.calls: list[str] = []
        self._at: int | None = None
        self._done_first = done_first
        for owner, names in ((Collection, ("upsert", "modify", "delete")), (type(client), CLIENT_CHANGES)):
            for name in names:
                patch.setattr(owner, name, self._deadly(name, getattr(owner, name)))

    def strikes(self, step: int, action: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
        """Do this, and die at the step; return whether it came to that."""
        self.calls, self._at = [], step
        try:
            action(*arguments, **options)
        except Killed:
            return True
        finally:
            self._at = None
        return False

    def _deadly(self, name: str, action: Any) -> Any:
        def call(*args: Any, **rest: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if number != self._at:
                return action(*args, **rest)
            if self._done_first:
                action(*args, **rest)
            raise Killed

        return call


def interrupt(
    step: int, action: Callable[..., Any], client: Any, *arguments: Any, done_first: bool = False, **options: Any
) -> list[str]:
    """Let the process die at this step of the action; return the steps until then."""
    with pytest.MonkeyPatch.context() as patch:
        death = Death(patch, client, done_first=done_first)
        assert death.strikes(step, action, client, *arguments, **options)
    return death.calls


def write_little_at_once(patch: pytest.MonkeyPatch, client: Any) -> None:
    """Several writes even of few records."""
    patch.setattr(type(client), "get_max_batch_size", lambda self: 10)
    patch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 10)
    patch.setattr("minilm_retrieval.store.limits.PAGE", 10)


def make(client: Any, name: str = "docs", **options: Any) -> Any:
    options = {"documents": TEXTS, "metadatas": METADATAS, "space": "l2"} | options
    return fill(client, name, random_vectors(COUNT, 32), **options)


def names(client: Any) -> list[str]:
    return sorted(collection.name for collection in client.list_collections())


def records(collection: Any) -> list[Record]:
    return [record for page in record_pages(collection, vectors=True) for record in page]


def contents(collection: Any) -> dict[str, Any]:
    return {
        record.id: (record.document, record.metadata)
        for page in record_pages(collection, vectors=False)
        for record in page
    }


def vectors_of(collection: Any) -> dict[str, bytes]:
    return {record.id: record.vector.tobytes() for record in records(collection)}
