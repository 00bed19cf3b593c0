"""Clusters into the metadata of the records that they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minilm_retrieval.analysis.clustering import UNCLUSTERED, Clustering
from minilm_retrieval.analysis.texts import EmbeddedTexts
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.ingest.metadata import RESERVED, unstorable
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.client import check_current, store_errors
from minilm_retrieval.store.collection import records
from minilm_retrieval.store.limits import in_lots
from minilm_retrieval.store.paging import read_pages
from minilm_retrieval.store.writer_lock import writer_lock

if TYPE_CHECKING:
    from chromadb import Collection

DEFAULT_FIELD = "cluster"
_NAME_SUFFIX = "_name"


@dataclass(frozen=True)
class WriteBackReport:
    """What was written.

    Attributes:
        field: The field that holds a cluster's number.
        name_field: The field that holds its name.
        written: Records that got a cluster, or another than they had.
        cleared: Records that lost the one of an earlier run.
        unchanged: Records that were as they should be.
    """

    field: str
    name_field: str
    written: int
    cleared: int
    unchanged: int


def check_field(field: str) -> None:
    """Make sure that a metadata field of this name can hold clusters.

    Raises:
        InvalidOptionError: Chroma does not store it, or indexing writes it.
    """
    wrong = unstorable(field, 0)
    if wrong or field in RESERVED:
        raise InvalidOptionError(f"Clusters cannot be written to the field {field!r}: {wrong or 'indexing writes it'}.")


def check_not_taken(texts: EmbeddedTexts, field: str) -> None:
    """Check before long work that none of the texts' records has something else in the fields.

    Raises:
        InvalidOptionError: One holds what no earlier run wrote.
    """
    for id, metadata in zip(texts.ids, texts.metadatas, strict=True):
        _written_earlier(id, metadata, field)


def write_clusters(
    collection: Collection,
    texts: EmbeddedTexts,
    clustering: Clustering,
    field: str = DEFAULT_FIELD,
    *,
    show_progress: bool = False,
) -> WriteBackReport:
    """Write each record's cluster into its metadata: the number into a field, the name into ``<field>_name``.

    All else of the records stays. Afterwards the two fields describe this clustering alone: records that are in no
    cluster, or not among the texts, lose what an earlier one left there. Records are changed in batches, each record
    with both fields at once, and only those that differ; so a run that ended early, however it ended, is completed by
    another. ``minilm index`` keeps the fields on passages that it finds unchanged; new passages have none.

    Args:
        collection: The one that the texts are of.
        texts: See :func:`minilm_retrieval.analysis.texts_of_collection`.
        clustering: Of these texts.
        field: Where to.
        show_progress: Show a progress bar on standard error.

    Raises:
        InvalidOptionError: The field cannot be written, or holds something else than an earlier run wrote.
        CollectionNotFoundError: The collection is no longer the one of its name.
        StoreLockedError: Another process is writing to the same local directory.
        StoreError: The store failed; what was written before stays.
    """
    check_field(field)
    wanted = {
        id: {field: int(label), field + _NAME_SUFFIX: clustering.clusters[label].name}
        for id, label in zip(texts.ids, clustering.labels, strict=True)
        if label != UNCLUSTERED
    }
    with writer_lock(collection._client, f"writing clusters into the collection {collection.name!r}"):
        check_current(collection)
        # All is compared first: what is already right need not be written, and pages must not shift meanwhile.
        changes: list[tuple[str, dict[str, Any]]] = []
        unchanged = 0
        for id, held in _held(collection, field):
            change = {**dict.fromkeys(held), **wanted.get(id, {})}
            if change == held:
                unchanged += 1
            else:
                changes.append((id, change))
        _update(collection, changes, show_progress)
    written = sum(id in wanted for id, _ in changes)
    return WriteBackReport(field, field + _NAME_SUFFIX, written, len(changes) - written, unchanged)


def _held(collection: Collection, field: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each record's id and what it holds in the two fields."""
    for page in read_pages(collection, include=["metadatas"]):
        for id, _, metadata in records(page["ids"], None, page["metadatas"]):
            yield id, _written_earlier(id, metadata, field)


def _written_earlier(id: str, metadata: Mapping[str, Any], field: str) -> dict[str, Any]:
    name_field = field + _NAME_SUFFIX
    held = {key: metadata[key] for key in (field, name_field) if key in metadata}
    own = type(held.get(field)) is int and isinstance(held.get(name_field), str)
    if held and not own:
        raise InvalidOptionError(
            f"The record {id!r} holds {held}, which no earlier run wrote; choose another field than {field!r}."
        )
    return held


def _update(collection: Collection, changes: list[tuple[str, dict[str, Any]]], show_progress: bool) -> None:
    with progress_bar("Writing", len(changes), show_progress, "records") as advance:
        for lot in in_lots(collection._client, changes):
            with store_errors(f"writing {len(lot)} records"):
                # Chroma merges metadata, and removes a key whose value is None.
                collection.update(ids=[id for id, _ in lot], metadatas=[change for _, change in lot])
            advance(len(lot))
