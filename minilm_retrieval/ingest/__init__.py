"""Documents in: loading, splitting, indexing."""

from minilm_retrieval.ingest.documents import Document, Failure, Skipped
from minilm_retrieval.ingest.indexer import IndexReport, index_documents
from minilm_retrieval.ingest.loading import load_documents
from minilm_retrieval.ingest.passages import Passage, PassageSplitter

__all__ = [
    "Document",
    "Failure",
    "IndexReport",
    "Passage",
    "PassageSplitter",
    "Skipped",
    "index_documents",
    "load_documents",
]
