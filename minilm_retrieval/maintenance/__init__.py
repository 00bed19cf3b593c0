"""Collections over the years: what is in them, whether it is sound, and how to repair it."""

from minilm_retrieval.maintenance.compact import CompactReport, compact_collections
from minilm_retrieval.maintenance.describe import (
    CollectionDescription,
    CollectionSummary,
    describe_collection,
    list_collections,
)
from minilm_retrieval.maintenance.faults import CHECKS, Fault
from minilm_retrieval.maintenance.reembed import ReembedReport, reembed_collection
from minilm_retrieval.maintenance.transfer import ImportReport, export_collection, import_collection
from minilm_retrieval.maintenance.verify import DEFAULT_SAMPLE, VerifyReport, verify_collection

__all__ = [
    "CHECKS",
    "DEFAULT_SAMPLE",
    "CollectionDescription",
    "CollectionSummary",
    "CompactReport",
    "Fault",
    "ImportReport",
    "ReembedReport",
    "VerifyReport",
    "compact_collections",
    "describe_collection",
    "export_collection",
    "import_collection",
    "list_collections",
    "reembed_collection",
    "verify_collection",
]
