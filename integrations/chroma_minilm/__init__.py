"""all-MiniLM-L6-v2 as a Chroma embedding function. Importing this registers it with Chroma."""

from chroma_minilm.acceleration import (
    accelerate_default_function,
    accelerated_default_function,
    restore_default_function,
)
from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction

__all__ = [
    "MiniLMEmbeddingFunction",
    "accelerate_default_function",
    "accelerated_default_function",
    "restore_default_function",
]
