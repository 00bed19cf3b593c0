"""Documents from files: which files, in which encoding, in which form."""

from minilm_retrieval.ingest.loading.loader import load_documents

__all__ = ["load_documents"]
