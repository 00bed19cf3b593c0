"""What is compared, clustered and drawn: texts with their vectors, of a file or of a collection."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import DocumentError, InvalidOptionError, StoreError
from minilm_retrieval.ingest import Document, read_texts
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import records
from minilm_retrieval.store.hits import Filter
from minilm_retrieval.store.paging import read_pages

if TYPE_CHECKING:
    from chromadb import Collection

_SHOWN_IDS = 3
_SHOWN_FIELDS = 20


@dataclass(frozen=True, eq=False)
class EmbeddedTexts:
    """Texts and their vectors.

    Attributes:
        ids: Of each text: a record's own, or the number of its line.
        texts: Empty where a record of a collection has none.
        metadatas: Of each text.
        vectors: Shape ``(n, dimension)``, float32, of unit length.
    """

    ids: list[str]
    texts: list[str]
    metadatas: list[Mapping[str, Any]]
    vectors: FloatArray

    def __len__(self) -> int:
        return len(self.ids)


def embed_documents(
    documents: Iterable[Document], embedder: MiniLMEmbedder, *, show_progress: bool = False
) -> EmbeddedTexts:
    """Embed each document as one text, which is cut, with a warning, if it is longer than the model's length.

    Args:
        documents: All are held in memory.
        embedder: What to embed them with.
        show_progress: Show a progress bar on standard error.

    Raises:
        As :meth:`minilm_retrieval.MiniLMEmbedder.encode`.
    """
    held = list(documents)
    texts = [document.text for document in held]
    vectors = embedder.encode(texts, show_progress)
    return EmbeddedTexts([document.id for document in held], texts, [document.metadata for document in held], vectors)


def texts_of_file(
    file: str | os.PathLike[str],
    embedder: MiniLMEmbedder,
    *,
    text_field: str = "text",
    encoding: str | None = None,
    fields: Iterable[str] = (),
    show_progress: bool = False,
) -> EmbeddedTexts:
    """Read the texts of a file and embed them; see :func:`minilm_retrieval.ingest.read_texts`.

    Args:
        file: Where they are.
        embedder: What to embed them with.
        text_field: Of JSONL and CSV.
        encoding: ``None`` to find it out.
        fields: Of the metadata, which are checked before anything is embedded: see :func:`check_fields`.
        show_progress: Show a progress bar on standard error.

    Raises:
        DocumentError: The file cannot be read or holds no text.
        InvalidOptionError: No text has one of the fields.
    """
    documents = list(read_texts(file, text_field, encoding=encoding))
    if not documents:
        raise DocumentError(f"{os.fspath(file)}: holds no text.")
    check_fields([document.metadata for document in documents], fields)
    return embed_documents(documents, embedder, show_progress=show_progress)


def check_fields(metadatas: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> None:
    """Check that at least one text has each field.

    Raises:
        InvalidOptionError: None has; the message lists the fields there are.
    """
    known = Counter(field for metadata in metadatas for field in metadata)
    for field in fields:
        if field not in known:
            there = ", ".join(repr(name) for name, _ in known.most_common(_SHOWN_FIELDS)) or "none"
            raise InvalidOptionError(f"No text has the metadata field {field!r}; there are: {there}.")


def texts_of_collection(
    collection: Collection, *, where: Mapping[str, Any] | None = None, show_progress: bool = False
) -> EmbeddedTexts:
    """Read the texts of a collection with the vectors it stores, which get unit length; nothing is embedded.

    Args:
        collection: Of any tool and any dimension.
        where: Chroma's metadata filter.
        show_progress: Show a progress bar on standard error.

    Raises:
        StoreError: It cannot be read, holds no such record, or a vector is zero or not finite.
        InvalidFilterError: Chroma refused the filter.
    """
    ids: list[str] = []
    texts: list[str] = []
    metadatas: list[Mapping[str, Any]] = []
    parts: list[FloatArray] = []
    selection = Filter(where or None, None).arguments()
    with store_errors(f"counting {collection.name!r}"):
        total = None if where else collection.count()
    with progress_bar("Reading", total, show_progress) as advance:
        for page in read_pages(collection, include=["documents", "metadatas", "embeddings"], **selection):
            for id, document, metadata in records(page["ids"], page["documents"], page["metadatas"]):
                ids.append(id)
                texts.append(document or "")
                metadatas.append(metadata)
            parts.append(np.asarray(page["embeddings"], dtype=np.float32))
            advance(len(page["ids"]))
    if not ids:
        raise StoreError(f"The collection {collection.name!r} holds no such record.")
    return EmbeddedTexts(ids, texts, metadatas, _of_unit_length(collection.name, ids, np.concatenate(parts)))


def _of_unit_length(name: str, ids: list[str], vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    wrong = np.flatnonzero(~((lengths > 0) & (lengths < np.inf)))
    if wrong.size:
        shown = ", ".join(repr(ids[row]) for row in wrong[:_SHOWN_IDS])
        raise StoreError(
            f"The collection {name!r} has {wrong.size} vectors that are zero or not finite, such as those of {shown}. "
            f"Look at it with: minilm verify --collection {name}"
        )
    vectors /= lengths
    return vectors
