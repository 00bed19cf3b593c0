"""Collections, and cosine search over them."""

from minilm_retrieval.store.client import connect
from minilm_retrieval.store.collection import open_collection
from minilm_retrieval.store.compatibility import check_collection
from minilm_retrieval.store.hits import DEFAULT_K, Exact, Hit, SearchOptions
from minilm_retrieval.store.recorded import recorded_embedder
from minilm_retrieval.store.retriever import Retriever

__all__ = [
    "DEFAULT_K",
    "Exact",
    "Hit",
    "Retriever",
    "SearchOptions",
    "check_collection",
    "connect",
    "open_collection",
    "recorded_embedder",
]
