"""Can this embedder search that collection? Found out before the first search, from the record and from samples."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import CollectionMismatchError, DifferingVectorsWarning, PrecisionWarning
from minilm_retrieval.similarity import cosine_or_zero, is_unit
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import records, space_of
from minilm_retrieval.store.limits import page_size
from minilm_retrieval.store.stored_function import StoredFunction, stored_function
from minilm_retrieval.store.stored_text import embedded_text
from minilm_retrieval.truncation import caller_depth

if TYPE_CHECKING:
    from chromadb import Collection

ANOTHER_MODEL = 0.4
SAME_VECTOR = 0.98
"""Median cosines below the first are of another model: unrelated models have cosines around 0, and one model over texts
that were cut or prefixed differently stays high. A cosine of the second or more is of the same text and model."""
_SAMPLE_PLACES = 4
_SAMPLES_A_PLACE = 16
# Distances of l2 and ip rank by cosine only for unit vectors, so more of them are looked at.
_LENGTHS_A_PLACE = 500
_TEXTS_COMPARED = 4


@dataclass(frozen=True)
class CollectionFacts:
    """What a search needs to know about a collection.

    Attributes:
        space: ``"cosine"``, ``"l2"`` or ``"ip"``.
        unit: Whether all sampled vectors have unit length; true of an empty collection.
        empty: Whether there was none to look at.
    """

    space: str
    unit: bool
    empty: bool


def check_collection(collection: Collection, embedder: MiniLMEmbedder) -> CollectionFacts:
    """Make sure that a collection's vectors can be compared with an embedder's.

    Compares the recorded fingerprint, the dimension of stored vectors, and, unless this library recorded the
    collection as its own, a few stored vectors with those of the texts stored beside them.

    Returns:
        The collection's space, and whether its sampled vectors have unit length.

    Raises:
        CollectionMismatchError: Another dimension or, verifiably, another model; the message names both sides and the
            remedy.

    Warns:
        DifferingVectorsWarning: The same model, but stored vectors differ from what this embedder gives.
        PrecisionWarning: The collection was embedded in another precision.
    """
    function = stored_function(collection)
    if function.fingerprint is not None and function.fingerprint != embedder.fingerprint:
        raise CollectionMismatchError(
            f"The collection {collection.name!r} was embedded with the model of fingerprint {function.fingerprint} "
            f"(max_seq_length {function.config.get('max_seq_length')}, normalize {function.config.get('normalize')}); "
            f"this embedder has {embedder.fingerprint} (max_seq_length {embedder.max_seq_length}, "
            f"normalize {embedder.normalize}). Use the embedder it was made with, or index the documents again."
        )
    _note_precision(collection.name, function, embedder)
    space = space_of(collection)
    sample = _sample(collection, _SAMPLES_A_PLACE if space == "cosine" else _LENGTHS_A_PLACE)
    if sample.vectors.size and sample.vectors.shape[1] != embedder.dimension:
        raise CollectionMismatchError(
            f"The collection {collection.name!r} holds vectors of {sample.vectors.shape[1]} numbers"
            f"{_made_with(function.name)}; this embedder gives {embedder.dimension}. "
            "Use the model it was made with, or index the documents into a new collection."
        )
    if function.fingerprint is None and not _compare_texts(collection, embedder, sample, function.name):
        _compare_names(collection, embedder, function)
    empty = sample.vectors.size == 0
    return CollectionFacts(space, empty or bool(is_unit(sample.vectors).all()), empty)


def _note_precision(name: str, function: StoredFunction, embedder: MiniLMEmbedder) -> None:
    stored = function.config.get("precision", embedder.precision)
    if function.fingerprint is not None and stored != embedder.precision:
        warnings.warn(
            f"The collection {name!r} was embedded in {stored}, and this embedder computes in {embedder.precision}. "
            "That works: it is the same model, and scores differ by the rounding of the coarser of the two.",
            PrecisionWarning,
            stacklevel=caller_depth(),
        )


@dataclass(frozen=True)
class _Sample:
    """Stored vectors, and the texts they should stand for, ``None`` where that is not known."""

    vectors: npt.NDArray[np.float64]
    texts: list[str | None]


def _sample(collection: Collection, samples_a_place: int) -> _Sample:
    """Read a few records from several places of the collection."""
    vectors: list[Any] = []
    texts: list[str | None] = []
    with store_errors(f"reading the collection {collection.name!r}"):
        count = collection.count()
        step = max(1, count // _SAMPLE_PLACES)
        for offset in range(0, count, step):
            size = min(samples_a_place, step, page_size(collection._client))
            page = collection.get(limit=size, offset=offset, include=["embeddings", "documents", "metadatas"])
            vectors.extend(page["embeddings"] if page["embeddings"] is not None else [])
            for _, text, metadata in records(page["ids"], page["documents"], page["metadatas"]):
                texts.append(embedded_text(text, metadata))
    return _Sample(np.asarray(vectors, dtype=np.float64), texts)


def cosines_with_texts(embedder: MiniLMEmbedder, texts: Sequence[str | None], vectors: npt.ArrayLike) -> list[float]:
    """Embed a few of some texts, and compare the results with the vectors that are said to be theirs.

    Args:
        embedder: What they may have been embedded with.
        texts: n texts, ``None`` where there is none.
        vectors: Shape ``(n, dimension)``, of the embedder's dimension.

    Returns:
        A few cosines; none where there is no text.
    """
    comparable = [row for row, text in enumerate(texts) if text]
    rows = comparable[:: max(1, len(comparable) // _TEXTS_COMPARED)][:_TEXTS_COMPARED]
    expected = embedder.quietly().encode([str(texts[row]) for row in rows])
    stored = np.asarray(vectors)
    return [float(cosine_or_zero(vector, stored[row : row + 1])[0]) for vector, row in zip(expected, rows, strict=True)]


def _compare_texts(collection: Collection, embedder: MiniLMEmbedder, sample: _Sample, function: str | None) -> bool:
    """Return whether there were texts to compare."""
    cosines = cosines_with_texts(embedder, sample.texts, sample.vectors)
    if not cosines:
        return False
    typical = float(np.median(cosines))
    if typical < ANOTHER_MODEL:
        raise CollectionMismatchError(
            f"The collection {collection.name!r} was embedded by another model{_made_with(function)}: its "
            f"stored vectors have a median cosine of {typical:.2f} with those of "
            f"{embedder.model_name or 'all-MiniLM-L6-v2'} for the same texts, where the same model gives 1.00. "
            "Use the model it was made with, or index the documents into a new collection."
        )
    if min(cosines) < SAME_VECTOR:
        warnings.warn(
            f"The collection {collection.name!r} holds vectors that differ from this embedder's for the same texts "
            f"(cosines from {min(cosines):.2f}, median {typical:.2f}): probably the same model with another "
            "truncation, or texts embedded with a prefix. Rankings will be close, not equal; index the documents "
            "again to be exact.",
            DifferingVectorsWarning,
            stacklevel=caller_depth(),
        )
    return True


def _compare_names(collection: Collection, embedder: MiniLMEmbedder, function: StoredFunction) -> None:
    """Where no text can be compared, go by the name that the record has for its model."""
    if embedder.is_standard and function.other_model is not None:
        raise CollectionMismatchError(
            f"The collection {collection.name!r} is one of the model {function.other_model!r}"
            f"{_made_with(function.name)}, and holds no text that shows otherwise; this embedder is of "
            "all-MiniLM-L6-v2. Use that model, or index the documents into a new collection."
        )


def _made_with(function: str | None) -> str:
    return f", made with the embedding function {function!r}" if function else ""
