"""all-MiniLM-L6-v2 for LlamaIndex: an embedding model, and a retriever over stored Chroma collections."""

from llama_index_minilm.embedding import MiniLMEmbedding
from llama_index_minilm.retriever import MiniLMRetriever

__all__ = ["MiniLMEmbedding", "MiniLMRetriever"]
