"""Files through a Ray cluster: into a collection on a server, or into a folder of Parquet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import StoreError
from minilm_retrieval.ingest import IndexReport, source_name
from minilm_retrieval.ingest.loading.decoding import checked_encoding
from minilm_retrieval.ingest.loading.files import listed
from minilm_retrieval.ingest.loading.loader import TEXT_FIELD
from minilm_retrieval.ingest.settings import note_settings
from minilm_retrieval.scaleout.block_folder import BlockFolder
from minilm_retrieval.scaleout.cluster import Workers, connected, quiet_blocks
from minilm_retrieval.scaleout.equipment import Embedding, Splitting
from minilm_retrieval.scaleout.finding import Finder, is_address
from minilm_retrieval.scaleout.lot_embedder import LotEmbedder
from minilm_retrieval.scaleout.lot_indexer import LotIndexer
from minilm_retrieval.scaleout.lots import FoundFile, grouped
from minilm_retrieval.scaleout.outcomes import Collecting
from minilm_retrieval.scaleout.pipeline import Work, lots_of_files, outcomes
from minilm_retrieval.scaleout.place import Place
from minilm_retrieval.store.client import check_current
from minilm_retrieval.store.compatibility import check_collection
from minilm_retrieval.store.recorded import embedder_for

if TYPE_CHECKING:
    from chromadb import Collection

_SPLITTING = Splitting()
_WORKERS = Workers()


@dataclass(frozen=True)
class Files:
    """Which files are read, and how; see :func:`minilm_retrieval.ingest.load_documents`.

    Attributes:
        paths: As there; files of this machine must be on every machine of the cluster at the same path. Also addresses
            of files and folders that pyarrow or fsspec can read, such as ``"s3://bucket/folder"``.
        text_field: As there.
        include: As there.
        exclude: As there.
        gitignore: As there; of folders on this machine.
        encoding: As there.
    """

    paths: Iterable[str | os.PathLike[str]]
    text_field: str = TEXT_FIELD
    include: Iterable[str] = ()
    exclude: Iterable[str] = ()
    gitignore: bool = True
    encoding: str | None = None
    _finder: Finder = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("paths", "include", "exclude"):
            object.__setattr__(self, name, tuple(map(os.fspath, listed(name, getattr(self, name)))))
        object.__setattr__(self, "_finder", Finder(self.include, self.exclude, self.gitignore))
        if self.encoding is not None:
            checked_encoding(self.encoding)

    def settings(self) -> dict[str, Any]:
        """Return what decides which documents there are, as JSON can say it."""
        return {
            "paths": sorted(path if is_address(path) else source_name(path) for path in self._texts()),
            "text_field": self.text_field,
            "include": list(self.include),
            "exclude": list(self.exclude),
            "gitignore": self.gitignore,
            "encoding": self.encoding,
        }

    def _texts(self) -> list[str]:
        return [os.fspath(path) for path in self.paths]

    def through(
        self,
        address: str | None,
        workers: Workers,
        show_progress: bool,
        collecting: Collecting,
        work: Callable[..., Work],
        *arguments: Any,
    ) -> IndexReport:
        """Have the workers of a cluster do the work on all lots of the files; see :func:`index_files`."""
        found: list[FoundFile] = []
        for item in self._finder.find(self._texts()):
            if isinstance(item, FoundFile):
                found.append(item)
            else:
                collecting.note(item)
        groups = list(grouped(found))
        if not groups:
            return collecting.report
        encoding = None if self.encoding is None else checked_encoding(self.encoding)
        with connected(address) as (ray, data), quiet_blocks(data):
            lots = lots_of_files(data, groups, self.text_field, encoding, workers.counted(ray))
            return collecting.take(outcomes(ray, data, lots, workers, work, *arguments), ray, show_progress)


def index_files(
    collection: Collection,
    files: Files,
    embedder: MiniLMEmbedder | None = None,
    *,
    splitting: Splitting = _SPLITTING,
    address: str | None = None,
    workers: Workers = _WORKERS,
    show_progress: bool = False,
) -> IndexReport:
    """Read, split, embed and store files on a Ray cluster; what is stored is what :func:`index_documents` would store.

    Ids are the same too, so a collection may be indexed by a cluster now and by one process then. A run that ended
    early, however it ended, is completed by the next; a worker that dies is replaced, and stores nothing twice.

    Args:
        collection: On a Chroma server that all machines of the cluster reach at the same address.
        files: Which, and how they are read.
        embedder: Its options are those of every worker's; ``None`` for all-MiniLM-L6-v2 with the precision recorded
            with the collection.
        splitting: How documents are split.
        address: Of the cluster, see :func:`minilm_retrieval.scaleout.connected`.
        workers: How many embed, and on what.
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
    embedder = embedder_for(collection, embedder)
    place = Place.of(collection)
    splitter = splitting.splitter(embedder)
    embedding = Embedding(embedder, workers, splitting, embedder.fingerprint)
    check_current(collection)
    check_collection(collection, embedder)
    note_settings(collection, splitter)
    return files.through(address, workers, show_progress, Collecting(), LotIndexer, place, embedding)


def embed_files(
    folder: str | os.PathLike[str],
    files: Files,
    embedder: MiniLMEmbedder | None = None,
    *,
    splitting: Splitting = _SPLITTING,
    address: str | None = None,
    workers: Workers = _WORKERS,
    show_progress: bool = False,
) -> IndexReport:
    """Read, split and embed files on a Ray cluster, into a folder of Parquet files, a block of documents in each.

    A run that ended early is completed by the next: blocks that are there are not embedded again. After a run in which
    no file failed, blocks of documents that have changed since an earlier run are removed. The files have the form of
    an exported collection, and :func:`minilm_retrieval.maintenance.import_collection` takes the folder.

    Args:
        folder: A path that all machines share, or an address such as ``"s3://bucket/folder"``; new, or of an earlier
            run with the same settings.
        files: Which, and how they are read.
        embedder: See :func:`index_files`.
        splitting: See :func:`index_files`.
        address: See :func:`index_files`.
        workers: See :func:`index_files`.
        show_progress: See :func:`index_files`.

    Returns:
        The report; documents of blocks that were there are ``unchanged``.

    Raises:
        InvalidOptionError: An option is out of range, or the folder holds something else.
        StoreError: The folder cannot be written.
        ClusterError, IndexingInterrupted, MissingExtraError: See :func:`index_files`.
    """
    embedder = embedder or MiniLMEmbedder()
    splitter = splitting.splitter(embedder)
    embedding = Embedding(embedder, workers, splitting, embedder.fingerprint)
    blocks = BlockFolder(os.fspath(folder))
    settings = {
        "fingerprint": embedder.fingerprint,
        "precision": embedder.precision,
        "passage_tokens": splitter.max_tokens,
        "passage_overlap": splitter.overlap,
        "metadata_policy": splitting.metadata_policy,
        **files.settings(),
    }
    collecting = Collecting()
    try:
        blocks.start(settings)
        report = files.through(address, workers, show_progress, collecting, LotEmbedder, blocks, embedding)
        if not report.failed:
            blocks.finish(settings, collecting.blocks)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{blocks.address} cannot be written: {error}") from error
    return report
