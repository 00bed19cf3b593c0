"""Embeddings and retrieval for all-MiniLM-L6-v2: one engine, one vector, everywhere."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minilm_retrieval import errors

if TYPE_CHECKING:
    from minilm_retrieval.embedder import MiniLMEmbedder as MiniLMEmbedder
    from minilm_retrieval.ingest import Document as Document
    from minilm_retrieval.ingest import IndexReport as IndexReport
    from minilm_retrieval.ingest import index_documents as index_documents
    from minilm_retrieval.store import Hit as Hit
    from minilm_retrieval.store import Retriever as Retriever
    from minilm_retrieval.store import open_collection as open_collection

__version__ = "0.1.0"

_HOMES = {
    "MiniLMEmbedder": "minilm_retrieval.embedder",
    "Retriever": "minilm_retrieval.store",
    "Hit": "minilm_retrieval.store",
    "open_collection": "minilm_retrieval.store",
    "index_documents": "minilm_retrieval.ingest",
    "IndexReport": "minilm_retrieval.ingest",
    "Document": "minilm_retrieval.ingest",
}

__all__ = [
    "Document",
    "Hit",
    "IndexReport",
    "MiniLMEmbedder",
    "Retriever",
    "errors",
    "index_documents",
    "open_collection",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that the import itself stays light."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
