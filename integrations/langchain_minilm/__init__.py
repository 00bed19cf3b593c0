"""all-MiniLM-L6-v2 for LangChain: embeddings, and a retriever over stored Chroma collections."""

from langchain_minilm.embeddings import MiniLMEmbeddings
from langchain_minilm.retriever import MiniLMRetriever

__all__ = ["MiniLMEmbeddings", "MiniLMRetriever"]
