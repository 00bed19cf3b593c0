"""Documents from files: which files, in which encoding, in which form."""

from minilm_retrieval.ingest.loading.loader import LoadedDocuments, load_documents
from minilm_retrieval.ingest.loading.names import source_name

__all__ = ["LoadedDocuments", "load_documents", "source_name"]
