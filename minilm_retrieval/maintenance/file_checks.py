"""What a Parquet file says about its collection: how far that is trusted, and whether it fits a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import CollectionMismatchError, InvalidOptionError, TransferError
from minilm_retrieval.ingest.metadata import unstorable
from minilm_retrieval.maintenance.parquet_reading import CheckedFile
from minilm_retrieval.maintenance.records import Record, record_pages
from minilm_retrieval.maintenance.settings import MARK, CollectionSettings
from minilm_retrieval.store.collection import SPACES
from minilm_retrieval.store.compatibility import ANOTHER_MODEL, SAME_VECTOR, cosines_with_texts
from minilm_retrieval.store.stored_function import StoredFunction
from minilm_retrieval.store.stored_text import embedded_text

if TYPE_CHECKING:
    from chromadb import Collection

# Index settings that a file may ask for, and how far: a large one would take the memory of whoever imports it.
_LARGEST = {"ef_construction": 10_000, "ef_search": 10_000, "max_neighbors": 1_000, "sync_threshold": 1_000_000}
_UNKNOWN = "whether the file's vectors are of the collection's model is not recorded; `minilm verify` finds out"


def settings_of(checked: CheckedFile, space: str | None) -> tuple[CollectionSettings, Any, str | None]:
    """Return the settings that a file asks for, as far as they can be trusted.

    Args:
        checked: The file.
        space: The distance that the caller asks for; ``None`` for that of the file.

    Returns:
        The settings, the embedding function to record, and a note about what was left out.

    Raises:
        TransferError: What the file says is not readable, or not true.
        InvalidOptionError: The file has another space than the caller asks for.
    """
    if checked.description is None:
        return CollectionSettings(space or "cosine", "hnsw", {}, StoredFunction(None, {}), {}), None, None
    said = checked.description
    try:
        recorded = StoredFunction(said["function"]["name"], dict(said["function"]["config"]))
        tuning = dict(said["index"].get("hnsw") or {})
        metadata = {
            key: value
            for key, value in dict(said["metadata"]).items()
            if key != MARK and not key.startswith("hnsw:") and not unstorable(key, value)
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TransferError(f"{checked.file}: its settings are not readable: {error!r}.") from error
    if said.get("space") not in SPACES:
        raise TransferError(f"{checked.file}: its space is {said.get('space')!r}; expected one of {SPACES}.")
    if space not in (None, said["space"]):
        raise InvalidOptionError(
            f"{checked.file} says that its space is {said['space']!r}, not {space!r}. Import it as it is; "
            f"`minilm reembed --space {space}` changes it."
        )
    function, note = _trusted_function(checked.file, recorded)
    trusted = recorded if function is not None else StoredFunction(None, {})
    return CollectionSettings(said["space"], "hnsw", _tuning(tuning), trusted, metadata), function, note


def _tuning(said: Mapping[str, Any]) -> dict[str, int]:
    return {
        key: said[key] for key, largest in _LARGEST.items() if type(said.get(key)) is int and 2 <= said[key] <= largest
    }


def _trusted_function(file: Path, recorded: StoredFunction) -> tuple[Any, str | None]:
    from minilm_retrieval.store.embedding_function import CHROMA_DEFAULT_NAME, NAME, MiniLMEmbeddingFunction

    if recorded.name is None:
        return None, None
    if recorded.name == CHROMA_DEFAULT_NAME:
        return MiniLMEmbeddingFunction.for_default(), None
    if recorded.name != NAME:
        return None, f"the file's embedding function {recorded.name!r} is not recorded with the collection"
    try:
        function = MiniLMEmbeddingFunction.build_from_config(dict(recorded.config))
    except InvalidOptionError as error:
        raise TransferError(f"{file}: {error}") from error
    said, known = recorded.fingerprint, function.get_config().get("fingerprint")
    if said != known:
        raise TransferError(
            f"{file} says that its vectors are of the fingerprint {said}; the model that it names has {known}."
        )
    return function, None


def belonging_note(
    collection: Collection, checked: CheckedFile, settings: CollectionSettings, asked: bool
) -> str | None:
    """Make sure that a file's vectors belong in a collection.

    Args:
        collection: The collection, as just opened.
        checked: The file.
        settings: The file's settings.
        asked: Whether the file or the caller says which space it must be.

    Returns:
        What is not as it should be or could not be found out, ``None`` if everything fits.

    Raises:
        CollectionMismatchError: Another dimension, space, model or precision; the message names both.
    """
    name, there = f"The collection {collection.name!r}", CollectionSettings.of(collection)
    dimension = collection._model.dimension
    if None not in (dimension, checked.dimension) and dimension != checked.dimension:
        raise _mismatch(f"{name} holds vectors of {dimension} numbers, {checked.file} of {checked.dimension}.")
    if asked and there.space != settings.space:
        raise _mismatch(f"{name} has the space {there.space!r}, {checked.file} {settings.space!r}.")
    ours, theirs = there.function, settings.function
    recorded = ours.name is not None and (ours.name, ours.config) == (theirs.name, theirs.config)
    if ours.fingerprint is not None and theirs.fingerprint is not None:
        recorded = ours.fingerprint == theirs.fingerprint
        if not recorded:
            raise _mismatch(
                f"{name} was embedded with the model of fingerprint {ours.fingerprint}, {checked.file} with "
                f"{theirs.fingerprint}."
            )
    if recorded or (ours.same_model and theirs.same_model):
        precisions = [function.config.get("precision", "float32") for function in (ours, theirs)]
        if precisions[0] != precisions[1]:
            raise _mismatch(
                f"{name} was embedded in {precisions[0]}, {checked.file} in {precisions[1]}.",
                f" and have `minilm reembed --precision {precisions[0]}` compute its vectors",
            )
        return None
    if ours.same_model:
        return _compare_texts(ours, str(checked.file), next(checked.pages(), []))
    if theirs.same_model:
        return _compare_texts(theirs, name, next(record_pages(collection, vectors=True), []))
    return _UNKNOWN


def _compare_texts(function: StoredFunction, unknown: str, records: Sequence[Record]) -> str | None:
    """Compare vectors of unknown origin with what the model of the other side gives for their texts."""
    from minilm_retrieval.store.embedding_function import NAME, MiniLMEmbeddingFunction

    ours = function.name == NAME
    embedder = MiniLMEmbeddingFunction.build_from_config(dict(function.config)).embedder if ours else MiniLMEmbedder()
    vectors = [record.vector for record in records if record.vector is not None]
    if vectors and len(vectors[0]) != embedder.dimension:
        raise _mismatch(
            f"{unknown} has vectors of {len(vectors[0])} numbers, all-MiniLM-L6-v2 gives {embedder.dimension}."
        )
    texts = [embedded_text(record.document, record.metadata or {}) for record in records]
    cosines = cosines_with_texts(embedder, texts, vectors)
    if not cosines:
        return _UNKNOWN
    if np.median(cosines) < ANOTHER_MODEL:
        raise _mismatch(
            f"{unknown} was embedded by another model than all-MiniLM-L6-v2: its vectors have a median cosine of "
            f"{np.median(cosines):.2f} with those that this gives for the same texts."
        )
    if min(cosines) < SAME_VECTOR:
        return (
            f"{unknown} holds vectors that differ from those that all-MiniLM-L6-v2 gives for their texts (cosines from "
            f"{min(cosines):.2f}); `minilm reembed --force` computes those of the collection anew"
        )
    return None


def _mismatch(message: str, more: str = "") -> CollectionMismatchError:
    return CollectionMismatchError(f"{message} Import into a new collection{more}.")
