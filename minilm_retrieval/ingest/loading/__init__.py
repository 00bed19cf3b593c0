"""Documents from files: which files, in which encoding, in which form."""

from minilm_retrieval.ingest.loading.files import source_places
from minilm_retrieval.ingest.loading.loader import load_documents

__all__ = ["load_documents", "source_places"]
