"""The embedder that a collection was made with, as far as its record says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store.collection import checked_collection, checked_embedder
from minilm_retrieval.store.stored_function import stored_function

if TYPE_CHECKING:
    from chromadb import Collection


def embedder_for(collection: Collection, embedder: MiniLMEmbedder | None) -> MiniLMEmbedder:
    """Return the embedder given, or else that which is recorded with a collection, having checked what was given.

    Raises:
        InvalidOptionError: The collection is none, or one of an asynchronous client; or the embedder is none.
    """
    checked_collection(collection)
    return recorded_embedder(collection) if embedder is None else checked_embedder(embedder)


def recorded_embedder(
    collection: Collection, *, precision: str | None = None, threads: int | None = None
) -> MiniLMEmbedder:
    """Return an embedder of all-MiniLM-L6-v2 with the precision, length and normalisation recorded with a collection.

    Where this library recorded nothing, or another model, which only its user can name, the defaults are taken; and
    float32 in place of bfloat16 where the processor has no instructions for that.

    Args:
        collection: Whose.
        precision: Another precision.
        threads: See :class:`minilm_retrieval.MiniLMEmbedder`.
    """
    from minilm_retrieval.engines.openvino import has_bfloat16
    from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction

    function = stored_function(collection)
    config = dict(function.config) if function.fingerprint is not None and function.same_model else {}
    try:
        MiniLMEmbeddingFunction.validate_config(config)
        found = precision or config.get("precision", "float32")
        if precision is None and found == "bfloat16" and not has_bfloat16():
            found = "float32"
        return MiniLMEmbedder(
            precision=found,
            threads=threads,
            max_seq_length=config.get("max_seq_length"),
            normalize=config.get("normalize", True),
        )
    except InvalidOptionError:
        # What was asked for is wrong too, or only the record, which check_collection and verify look at.
        return MiniLMEmbedder(precision=precision or "float32", threads=threads)
