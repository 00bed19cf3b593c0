"""Collections, and cosine search over them."""

from minilm_retrieval.store.client import connect
from minilm_retrieval.store.collection import open_collection
from minilm_retrieval.store.compatibility import check_collection
from minilm_retrieval.store.hits import Hit
from minilm_retrieval.store.retriever import Retriever

__all__ = ["Hit", "Retriever", "check_collection", "connect", "open_collection"]
