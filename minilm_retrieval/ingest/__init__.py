"""Documents in: loading, splitting, indexing."""

from minilm_retrieval.ingest.documents import Document, Failure, Skipped
from minilm_retrieval.ingest.indexer import index_documents
from minilm_retrieval.ingest.loading import LoadedDocuments, load_documents, read_texts, source_name
from minilm_retrieval.ingest.metadata import METADATA_POLICIES, MetadataPolicy
from minilm_retrieval.ingest.passages import Passage, PassageSplitter
from minilm_retrieval.ingest.removal import remove_documents
from minilm_retrieval.ingest.report import IndexingInterrupted, IndexReport

__all__ = [
    "METADATA_POLICIES",
    "Document",
    "Failure",
    "IndexReport",
    "IndexingInterrupted",
    "LoadedDocuments",
    "MetadataPolicy",
    "Passage",
    "PassageSplitter",
    "Skipped",
    "index_documents",
    "load_documents",
    "read_texts",
    "remove_documents",
    "source_name",
]
