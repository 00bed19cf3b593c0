"""How a collection's documents were split, noted with the collection, so that a change does not go unseen."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from minilm_retrieval.errors import SplittingWarning
from minilm_retrieval.ingest.passages import PassageSplitter
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.truncation import caller_depth

if TYPE_CHECKING:
    from chromadb import Collection

TOKENS_KEY = "minilm_passage_tokens"
OVERLAP_KEY = "minilm_passage_overlap"
# Chroma refuses to change the metadata of collections that keep their index's settings there.
_INDEX_PREFIX = "hnsw:"


def note_settings(collection: Collection, splitter: PassageSplitter) -> None:
    """Note the size and overlap of passages with a collection, and say so where they were others before.

    Warns:
        SplittingWarning: The collection's passages were made with another size or overlap.
    """
    noted = dict(collection.metadata or {})
    settings = {TOKENS_KEY: splitter.max_tokens, OVERLAP_KEY: splitter.overlap}
    before = {key: noted.get(key) for key in settings}
    if before == settings or any(key.startswith(_INDEX_PREFIX) for key in noted):
        return
    with store_errors("noting how documents are split"):
        collection.modify(metadata={**noted, **settings})
    if before[TOKENS_KEY] is not None:
        warnings.warn(
            f"Passages of the collection {collection.name!r} had at most {before[TOKENS_KEY]} tokens and an overlap "
            f"of {before[OVERLAP_KEY]} until now; from now on {splitter.max_tokens} and {splitter.overlap}. Documents "
            "that are given now are split again, those that are not keep their passages.",
            SplittingWarning,
            stacklevel=caller_depth(),
        )
