"""New vectors for a collection, from its texts: for another model, precision or distance."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import DocumentError, InvalidOptionError, StoreError, TextTooLongError
from minilm_retrieval.maintenance.directory import index_folder
from minilm_retrieval.maintenance.records import Record, record_pages
from minilm_retrieval.maintenance.rewrite import Target, rewrite
from minilm_retrieval.maintenance.settings import CollectionSettings, checked_space
from minilm_retrieval.maintenance.switch import Mark, recover
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import open_collection
from minilm_retrieval.store.local import local_directory
from minilm_retrieval.store.recorded import recorded_embedder
from minilm_retrieval.store.stored_function import StoredFunction
from minilm_retrieval.store.stored_text import embedded_text
from minilm_retrieval.store.writer_lock import writer_lock

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

_NAMED = 5


@dataclass(frozen=True)
class ReembedReport:
    """What re-embedding did.

    Attributes:
        records: How many records the collection holds.
        embedded: How many of them were embedded by this call.
        resumed: How many an interrupted call had embedded already.
        truncated: How many texts are longer than the model reads; only their beginnings were embedded.
        up_to_date: Whether the vectors were this model's already, so that nothing was done.
        seconds: Wall time.
    """

    records: int = 0
    embedded: int = 0
    resumed: int = 0
    truncated: int = 0
    up_to_date: bool = False
    seconds: float = 0.0


def reembed_collection(
    client: ClientAPI,
    name: str,
    embedder: MiniLMEmbedder | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
    space: str | None = None,
    keep: bool = False,
    force: bool = False,
    show_progress: bool = False,
) -> ReembedReport:
    """Embed all texts of a collection again, and put the result in its place when it is complete.

    Until then the collection stays as it is and can be searched. Ids, texts, metadata and index settings are kept;
    the old vectors and the old embedding function do not matter, nor does their dimension. A call that is interrupted,
    even killed, is taken up by the next one with the same arguments. Streams, in memory that does not grow with the
    collection. Collection objects opened before must be opened again afterwards. A server has no lock: let nobody write
    to the collection there meanwhile.

    Args:
        client: A Chroma client, see :func:`minilm_retrieval.store.connect`.
        name: The collection's name.
        embedder: What to embed with, and to record with the collection; ``None`` for all-MiniLM-L6-v2, as it is
            recorded with the collection except for the two following.
        precision: In place of an embedder: its precision.
        threads: Likewise: how many it uses.
        space: Distance of the new collection: ``"cosine"``, ``"l2"`` or ``"ip"``; ``None`` for that of the old one.
        keep: Keep the old collection as ``<name>.before``.
        force: Embed even if the collection says that its vectors are this embedder's.
        show_progress: Show a progress bar on standard error.

    Raises:
        CollectionNotFoundError: There is no such collection.
        DocumentError: Records have no text to embed; nothing was written.
        TextTooLongError: Texts are too long and the embedder has ``on_truncate="error"``; nothing was written.
        InvalidOptionError: A wrong space or precision, one beside an embedder, or there is a kept collection already.
        StoreError, StoreLockedError: The store failed, or another process is writing to it.

    Warns:
        RestartWarning: An interrupted call had other arguments; its work is thrown away.
        TruncationWarning: As the embedder's ``on_truncate`` says.
    """
    started = time.perf_counter()
    checked_space(space)
    if embedder is not None and (precision is not None or threads is not None):
        raise InvalidOptionError("Give either an embedder, or precision and threads for one of all-MiniLM-L6-v2.")
    with writer_lock(client, f"re-embedding the collection {name!r}"):
        finished = recover(client, name)
        source = open_collection(name, client=client)
        embedder = embedder or recorded_embedder(source, precision=precision, threads=threads)
        report = _reembed(client, source, finished, embedder, space, keep, force, show_progress)
    return replace(report, seconds=time.perf_counter() - started)


def _reembed(
    client: ClientAPI,
    source: Collection,
    finished: Mark | None,
    embedder: MiniLMEmbedder,
    space: str | None,
    keep: bool,
    force: bool,
    show_progress: bool,
) -> ReembedReport:
    target = _target(source, embedder, space)
    if finished is not None and finished.target == target.description:
        texts = _survey(source, embedder)
        return ReembedReport(texts.records, resumed=texts.records, truncated=texts.truncated)
    if not force and _same(CollectionSettings.of(source), target.settings):
        with store_errors(f"counting the records of {source.name!r}"):
            return ReembedReport(source.count(), up_to_date=True)
    try:
        texts = _survey(source, embedder)
    except StoreError as error:
        raise StoreError(f"{error}{_advice(client, source)}") from error
    done = rewrite(client, source, target, total=texts.records, keep=keep, show_progress=show_progress)
    return ReembedReport(done.records, done.written, max(0, done.records - done.written), texts.truncated)


def _target(source: Collection, embedder: MiniLMEmbedder, space: str | None) -> Target:
    from minilm_retrieval.store.embedding_function import NAME, MiniLMEmbeddingFunction

    function = MiniLMEmbeddingFunction.of(embedder)
    settings = CollectionSettings.of(source)
    settings = replace(settings, space=space or settings.space, function=StoredFunction(NAME, function.get_config()))
    return Target("reembed", settings, function, _Embedding(embedder), read_vectors=False)


def _same(old: CollectionSettings, new: CollectionSettings) -> bool:
    recorded = (old.space, old.function.fingerprint, old.function.config.get("precision"))
    return recorded == (new.space, new.function.fingerprint, new.function.config["precision"])


def _advice(client: ClientAPI, source: Collection) -> str:
    """Say how to get at texts that Chroma does not give out because the index beside them is damaged."""
    directory, folder = local_directory(client), None
    if directory is not None:
        with suppress(StoreError):
            folder = index_folder(directory, source)
    if folder is None:
        return ""
    return (
        f" If the index of {source.name!r} is damaged, end all programs that use this directory, move the folder "
        f"{folder} out of it, and run this again: the texts are in the database beside it."
    )


@dataclass
class _Survey:
    records: int = 0
    truncated: int = 0


def _survey(source: Collection, embedder: MiniLMEmbedder) -> _Survey:
    """Read all texts, so that what cannot be embedded is found before anything is written."""
    found = _Survey()
    without: list[str] = []
    missing = 0
    for page in record_pages(source, vectors=False):
        found.records += len(page)
        texts = [_text(record) for record in page]
        lacking = [record.id for record, text in zip(page, texts, strict=True) if text is None]
        missing += len(lacking)
        without += lacking[: _NAMED - len(without)]
        lengths = embedder.count_tokens([text for text in texts if text is not None])
        found.truncated += sum(length > embedder.max_seq_length for length in lengths)
    if missing:
        named = ", ".join(map(repr, without)) + (" and others" if missing > len(without) else "")
        raise DocumentError(
            f"{missing} of {found.records} records of {source.name!r} have no text to embed: {named}. "
            "Give them a text, or delete them; nothing was changed."
        )
    if found.truncated and embedder.on_truncate == "error":
        raise TextTooLongError(
            f"{found.truncated} of {found.records} texts of {source.name!r} are longer than the model's "
            f"{embedder.max_seq_length} tokens. Pass on_truncate='warn' or 'ignore' to embed their beginnings."
        )
    return found


def _text(record: Record) -> str | None:
    return embedded_text(record.document, record.metadata or {})


class _Embedding:
    """Embeds the texts of records as they come."""

    def __init__(self, embedder: MiniLMEmbedder) -> None:
        self._embedder = embedder

    def __call__(self, records: Iterator[Record]) -> Iterator[tuple[list[Record], FloatArray]]:
        waiting: deque[Record] = deque()

        def texts() -> Iterator[str]:
            for record in records:
                waiting.append(record)
                yield _text(record) or ""

        for _, vectors in self._embedder.encode_stream(texts()):
            yield [waiting.popleft() for _ in range(len(vectors))], vectors
