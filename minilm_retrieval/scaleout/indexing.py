"""Files into a collection on a server, through a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.ingest import Failure, IndexReport, Skipped
from minilm_retrieval.ingest.loading.decoding import checked_encoding
from minilm_retrieval.ingest.loading.loader import TEXT_FIELD
from minilm_retrieval.ingest.settings import note_settings
from minilm_retrieval.scaleout.cluster import Workers, connected, quiet_blocks
from minilm_retrieval.scaleout.finding import Finder
from minilm_retrieval.scaleout.lot_indexer import Embedding, LotIndexer, Splitting
from minilm_retrieval.scaleout.lots import FoundFile, grouped
from minilm_retrieval.scaleout.outcomes import Collecting
from minilm_retrieval.scaleout.pipeline import lots_of_files, outcomes
from minilm_retrieval.scaleout.place import Place
from minilm_retrieval.store.client import check_current
from minilm_retrieval.store.compatibility import check_collection
from minilm_retrieval.store.recorded import recorded_embedder

if TYPE_CHECKING:
    from chromadb import Collection


def index_files(
    collection: Collection,
    paths: Iterable[str | os.PathLike[str]],
    embedder: MiniLMEmbedder | None = None,
    *,
    text_field: str = TEXT_FIELD,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    gitignore: bool = True,
    encoding: str | None = None,
    passage_tokens: int | None = None,
    passage_overlap: int = 0,
    metadata_policy: str = "convert",
    address: str | None = None,
    workers: Workers | None = None,
    show_progress: bool = False,
) -> IndexReport:
    """Read, split, embed and store files on a Ray cluster; what is stored is what :func:`index_documents` would store.

    Ids are the same too, so a collection may be indexed by a cluster now and by one process then. A run that ended
    early, however it ended, is completed by the next; a worker that dies is replaced, and stores nothing twice.

    Args:
        collection: On a Chroma server that all machines of the cluster reach at the same address.
        paths: As :func:`minilm_retrieval.ingest.load_documents` takes them; files of this machine must be on every
            machine at the same path. Also addresses of files and folders that pyarrow or fsspec can read, such as
            ``"s3://bucket/folder"``.
        embedder: Its options are those of every worker's; ``None`` for all-MiniLM-L6-v2 with the precision recorded
            with the collection.
        text_field: See :func:`minilm_retrieval.ingest.load_documents`.
        include: Likewise.
        exclude: Likewise.
        gitignore: Likewise.
        encoding: Likewise.
        passage_tokens: See :func:`minilm_retrieval.index_documents`.
        passage_overlap: Likewise.
        metadata_policy: Likewise.
        address: Of the cluster, see :func:`minilm_retrieval.scaleout.connected`.
        workers: How many embed, and on what; ``None`` for one a processor of the cluster.
        show_progress: Show a progress bar on standard error.

    Returns:
        The report; the seconds of its stages are added up over all workers.

    Raises:
        InvalidOptionError: An option is out of range, or the collection is in a local directory.
        CollectionMismatchError: The collection was embedded by another model, or a worker has another.
        StoreError: The store failed; what was written stays, and the next run goes on from there.
        ClusterError: The cluster cannot be reached, or gave up.
        IndexingInterrupted: Ctrl-C; what workers had not reported is not in ``error.report``.
        MissingExtraError: Ray is not installed.
    """
    workers = workers or Workers()
    embedder = embedder or recorded_embedder(collection)
    place = Place.of(collection)
    splitting = Splitting(passage_tokens, passage_overlap, metadata_policy)
    forced = None if encoding is None else checked_encoding(encoding)
    finder = Finder(include, exclude, gitignore)
    splitter = splitting.splitter(embedder)
    embedding = Embedding(embedder, workers, splitting, embedder.fingerprint)
    files: list[FoundFile] = []
    others: list[Failure | Skipped] = []
    for found in finder.find([os.fspath(path) for path in paths]):
        if isinstance(found, FoundFile):
            files.append(found)
        else:
            others.append(found)
    collecting = Collecting(others)
    with connected(address) as (ray, data):
        check_current(collection)
        check_collection(collection, embedder)
        note_settings(collection, splitter)
        groups = list(grouped(files))
        if not groups:
            return collecting.report
        with quiet_blocks(data):
            lots = lots_of_files(data, groups, text_field, forced, workers.counted(ray))
            done = outcomes(ray, data, lots, workers, LotIndexer, place, embedding)
            return collecting.take(done, ray, show_progress)
