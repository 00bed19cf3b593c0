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
_original: Callable[..., Any] | None = None


def accelerate_default_function(**options: Any) -> None:
    """Make Chroma's default function compute with this engine, in this process, until undone.

    Collections stay what they are: nothing stored changes, and without this call they work as before, only slower.
    Calling it again changes the options.

    Args:
        options: As for :meth:`MiniLMEmbeddingFunction.for_default`.
    """
    global _original
    function = MiniLMEmbeddingFunction.for_default(**options)

    def __call__(self: DefaultEmbeddingFunction, input: Documents) -> Embeddings:  # noqa: N807 - Chroma checks it
        return function(input)

    with _lock:
        if _original is None:
            _original = DefaultEmbeddingFunction.__call__
        DefaultEmbeddingFunction.__call__ = __call__  # type: ignore[method-assign]


def restore_default_function() -> None:
    """Undo :func:`accelerate_default_function`; does nothing where it was not called."""
    global _original
    with _lock:
        if _original is not None:
            DefaultEmbeddingFunction.__call__ = _original  # type: ignore[method-assign]
            _original = None


@contextmanager
def accelerated_default_function(**options: Any) -> Iterator[None]:
    """Do as :func:`accelerate_default_function` does, for a ``with`` block."""
    accelerate_default_function(**options)
    try:
        yield
    finally:
        restore_default_function()
