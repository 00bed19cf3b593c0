"""What collections there are, and what is in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import StoreUnavailableError
from minilm_retrieval.ingest.passage_ids import PassageId
from minilm_retrieval.ingest.settings import OVERLAP_KEY, TOKENS_KEY
from minilm_retrieval.maintenance.reading import STORE_FAILURES, look_up
from minilm_retrieval.maintenance.records import Record, record_pages
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import space_of
from minilm_retrieval.store.recorded import embedder_for
from minilm_retrieval.store.stored_function import stored_function
from minilm_retrieval.store.stored_text import embedded_text

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

# Past the last collection of any store.
_BEYOND_ALL = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class CollectionSummary:
    """What a collection says about itself.

    Attributes:
        name: Its name.
        count: How many records it holds, ``None`` if they cannot be counted.
        dimension: How many numbers a vector has, ``None`` where there never was one.
        space: ``"cosine"``, ``"l2"`` or ``"ip"``; ``None`` if the collection cannot be opened.
        function: Chroma's name of the embedding function recorded with it.
        fingerprint: The model's fingerprint, and
        precision: the precision that it computed in, if this library made the collection.
        error: Why it could not be opened or counted, ``None`` if it could.
    """

    name: str
    count: int | None = None
    dimension: int | None = None
    space: str | None = None
    function: str | None = None
    fingerprint: str | None = None
    precision: str | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class CollectionDescription(CollectionSummary):
    """What is in a collection.

    Attributes:
        passages: How many records are passages that this library indexed.
        other_records: How many come from elsewhere.
        sources: The passages of each document that this library indexed, by its name, sorted.
        texts: How many records have a text.
        without_text: How many have none.
        max_seq_length: Most tokens of a text that the model reads.
        truncated: How many texts have more; only their beginnings were embedded. ``None``, as the two below, where the
            dimension or the recorded name of the model is not the embedder's, whose tokenizer would not be theirs.
        max_tokens: Tokens of the longest text, special tokens included; ``None`` also if there is no text.
        mean_tokens: Their mean.
        passage_tokens: Most tokens of a passage when documents were indexed last, ``None`` if that is not recorded.
        passage_overlap: Tokens that neighbouring passages shared, likewise.
    """

    passages: int
    other_records: int
    sources: Mapping[str, int]
    texts: int
    without_text: int
    max_seq_length: int
    truncated: int | None
    max_tokens: int | None
    mean_tokens: float | None
    passage_tokens: int | None
    passage_overlap: int | None


def list_collections(client: ClientAPI) -> list[CollectionSummary]:
    """Return what the collections of a store say about themselves, sorted by name.

    Embeds nothing and writes nothing. A collection that cannot be read has the reason in ``error``, and does not hide
    the others.

    Args:
        client: A Chroma client, see :func:`minilm_retrieval.store.connect`.

    Raises:
        StoreError: The store cannot be reached.
    """
    return sorted(_summaries(client), key=lambda summary: summary.name)


def _summaries(client: ClientAPI) -> Iterator[CollectionSummary]:
    try:
        with store_errors("listing collections"):
            opened = list(client.list_collections())
    except StoreUnavailableError:
        raise
    except STORE_FAILURES:
        yield from _one_by_one(client)
    else:
        yield from map(_summary, opened)


def _one_by_one(client: ClientAPI) -> Iterator[CollectionSummary]:
    """List what can be opened: Chroma neither lists nor counts any collections where it cannot read one of them."""
    for place in count():
        try:
            opened = _listed(client, place)
        except STORE_FAILURES as error:
            # Fails if the store itself is broken, or gone.
            _listed(client, _BEYOND_ALL)
            yield CollectionSummary(name=f"(collection {place + 1})", error=str(error))
        else:
            if not opened:
                return
            yield from map(_summary, opened)


def _listed(client: ClientAPI, place: int) -> list[Collection]:
    with store_errors("listing collections"):
        return list(client.list_collections(limit=1, offset=place))


def _summary(collection: Collection) -> CollectionSummary:
    function = stored_function(collection)
    ours = function.fingerprint is not None
    records = error = None
    try:
        with store_errors("counting records"):
            records = collection.count()
    except StoreUnavailableError:
        # Its limits of time are spent, and would be for each collection.
        raise
    except STORE_FAILURES as failure:
        error = str(failure)
    return CollectionSummary(
        name=collection.name,
        count=records,
        # Of the record: reading a vector would have Chroma load the whole index.
        dimension=collection._model.dimension,
        space=space_of(collection),
        function=function.name,
        fingerprint=function.fingerprint,
        precision=str(function.config["precision"]) if ours and "precision" in function.config else None,
        error=error,
    )


def describe_collection(
    collection: Collection, embedder: MiniLMEmbedder | None = None, *, show_progress: bool = False
) -> CollectionDescription:
    """Read all texts and metadata of a collection, and say what is in it; embeds nothing and writes nothing.

    Args:
        collection: An open Chroma collection, of this library or of another tool.
        embedder: Whose tokenizer counts; ``None`` for that of all-MiniLM-L6-v2 as the collection records it.
        show_progress: Show a progress bar on standard error.

    Raises:
        StoreError: The store cannot be reached, or texts and metadata cannot be read.
        ModelNotFoundError, ModelIntegrityError, ModelUnreadableError, UnsupportedModelError: The embedder's
            model cannot be loaded.
    """
    embedder = embedder_for(collection, embedder)
    summary = replace(_summary(collection), dimension=look_up(collection).dimension)
    recorded = stored_function(collection).config.get("max_seq_length") if summary.fingerprint is not None else None
    limit = recorded if isinstance(recorded, int) else embedder.max_seq_length
    other_model = embedder.is_standard and stored_function(collection).other_model is not None
    countable = summary.dimension in (None, embedder.dimension) and not other_model
    contents = _Contents(embedder if countable else None, limit)
    with progress_bar("Reading", summary.count, show_progress, "records") as advance:
        for page in record_pages(collection, vectors=False):
            for record in page:
                contents.add(record)
            advance(len(page))
    metadata = collection.metadata or {}
    return CollectionDescription(
        **asdict(summary),
        passages=sum(contents.sources.values()),
        other_records=contents.others,
        sources=dict(sorted(contents.sources.items())),
        texts=contents.texts,
        without_text=contents.without_text,
        max_seq_length=limit,
        truncated=contents.truncated if countable else None,
        max_tokens=contents.longest or None,
        mean_tokens=contents.tokens / contents.texts if contents.tokens else None,
        passage_tokens=_whole_number(metadata.get(TOKENS_KEY)),
        passage_overlap=_whole_number(metadata.get(OVERLAP_KEY)),
    )


class _Contents:
    """Counts what is in records; with an embedder, their tokens too."""

    def __init__(self, embedder: MiniLMEmbedder | None, limit: int) -> None:
        self.sources: dict[str, int] = {}
        self.others = self.texts = self.without_text = self.truncated = self.tokens = self.longest = 0
        self._embedder = embedder
        self._limit = limit

    def add(self, record: Record) -> None:
        metadata = record.metadata or {}
        if PassageId.parse(record.id) is None:
            self.others += 1
        else:
            source = str(metadata.get("source", ""))
            self.sources[source] = self.sources.get(source, 0) + 1
        text = embedded_text(record.document, metadata)
        if text is None:
            self.without_text += 1
            return
        self.texts += 1
        if self._embedder is not None:
            (tokens,) = self._embedder.count_tokens(text)
            self.tokens += tokens
            self.longest = max(self.longest, tokens)
            self.truncated += tokens > self._limit


def _whole_number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
