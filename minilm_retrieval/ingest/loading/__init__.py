"""Documents from files: which files, in which encoding, in which form."""

from minilm_retrieval.ingest.loading.loader import LoadedDocuments, load_documents
from minilm_retrieval.ingest.loading.names import source_name
from minilm_retrieval.ingest.loading.texts import read_texts

__all__ = ["LoadedDocuments", "load_documents", "read_texts", "source_name"]
