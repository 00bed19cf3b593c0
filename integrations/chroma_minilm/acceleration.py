"""Let every collection of this process that uses Chroma's default function use this library's engine instead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction

# Imported after the embedding function, whose import names the extra where Chroma is missing.
from chromadb.api.types import DefaultEmbeddingFunction, Documents, Embeddings  # isort: skip

_lock = threading.Lock()
# What stood there before each acceleration that is in force, the oldest first, and what was put in its place.
_replaced: list[tuple[Callable[..., Any], Callable[..., Any]]] = []


def accelerate_default_function(**options: Any) -> None:
    """Make Chroma's default function compute with this engine, in this process, until undone.

    Collections stay what they are: nothing stored changes, and without this call they work as before, only slower.
    Calling it again changes the options.

    Args:
        options: As for :meth:`MiniLMEmbeddingFunction.for_default`.
    """
    _replace(MiniLMEmbeddingFunction.for_default(**options))


def restore_default_function() -> None:
    """Undo :func:`accelerate_default_function`; does nothing where it was not called."""
    with _lock:
        _put_back(0)


@contextmanager
def accelerated_default_function(**options: Any) -> Iterator[None]:
    """Do as :func:`accelerate_default_function` does, for a ``with`` block; behind it stands what stood before."""
    depth = _replace(MiniLMEmbeddingFunction.for_default(**options))
    try:
        yield
    finally:
        with _lock:
            _put_back(depth)


def _replace(function: MiniLMEmbeddingFunction) -> int:
    """Put a function in the place of the default's; return how many were there before it."""

    def __call__(self: DefaultEmbeddingFunction, input: Documents) -> Embeddings:  # noqa: N807 - Chroma checks it
        return function(input)

    with _lock:
        _replaced.append((DefaultEmbeddingFunction.__call__, __call__))
        DefaultEmbeddingFunction.__call__ = __call__  # type: ignore[method-assign]
        return len(_replaced) - 1


def _put_back(depth: int) -> None:
    """Undo what was put there since there were so many."""
    if len(_replaced) <= depth:
        return
    before, own = _replaced[depth][0], {own for _, own in _replaced[depth:]}
    del _replaced[depth:]
    # What somebody else has put over it stays.
    if DefaultEmbeddingFunction.__call__ in own:
        DefaultEmbeddingFunction.__call__ = before  # type: ignore[method-assign]
