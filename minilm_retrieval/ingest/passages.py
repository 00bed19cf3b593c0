"""Split documents into passages that the model reads whole, with their places in the original."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from semantic_text_splitter import TextSplitter

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.ingest.documents import Document
from minilm_retrieval.tokenizer import well_formed

# The prefix tells passages written here from records that other tools keep in the same collection.
ID_PREFIX = "minilm-"
RESERVED = ("source", "start", "end")
_SCALARS = (str, int, float, bool)


@dataclass(frozen=True)
class Passage:
    """A piece of a document: ``document.text[start:end] == text``.

    Attributes:
        id: Derived from the source, the place, the text and the metadata, so equal passages have equal ids.
        text: At most the splitter's number of tokens.
        metadata: The document's, with ``source``, ``start`` and ``end`` (characters).
    """

    id: str
    text: str
    metadata: dict[str, str | int | float | bool]


class PassageSplitter:
    """Splits at paragraphs, sentences or words, whichever fits the model's length, counting with its own tokenizer.

    Args:
        embedder: Whose tokenizer counts.
        max_tokens: Most tokens of a passage, special tokens included; ``None`` for the embedder's maximum.

    Raises:
        InvalidOptionError: ``max_tokens`` is more than the embedder reads, or too few to hold a word.
    """

    def __init__(self, embedder: MiniLMEmbedder, max_tokens: int | None = None) -> None:
        limit = embedder.max_seq_length
        tokens = limit if max_tokens is None else max_tokens
        if isinstance(tokens, bool) or not isinstance(tokens, int) or not 8 <= tokens <= limit:
            raise InvalidOptionError(f"Passages may have 8 to {limit} tokens, got {tokens!r}.")
        self.max_tokens = tokens
        tokenizer = embedder.tokenizer
        self._splitter = TextSplitter.from_huggingface_tokenizer_str(
            tokenizer.plain_settings(), tokens - tokenizer.special_tokens
        )

    def split(self, document: Document) -> Iterator[Passage]:
        """Yield a document's passages in order; none for a text of white space alone.

        Raises:
            DocumentError: The id, text or metadata has a type that cannot be stored; raised before anything is yielded.
        """
        metadata = _checked_metadata(document)
        text = well_formed(document.text)
        for start, piece in self._splitter.chunk_indices(text):
            placed = {**metadata, "source": document.id, "start": start, "end": start + len(piece)}
            yield Passage(_passage_id(piece, placed), piece, placed)


def _checked_metadata(document: Document) -> dict[str, str | int | float | bool]:
    if not isinstance(document.id, str) or not document.id:
        raise DocumentError(f"A document's id must be a text that is not empty, got {document.id!r}")
    if not isinstance(document.text, str):
        raise DocumentError(f"A document's text must be a str, got {type(document.text).__name__}")
    checked: dict[str, str | int | float | bool] = {}
    for key, value in document.metadata.items():
        if value is None:
            continue
        if key in RESERVED:
            raise DocumentError(f"the metadata key {key!r} is written by the indexer; rename it")
        if not isinstance(key, str) or not isinstance(value, _SCALARS):
            raise DocumentError(
                f"the metadata {key!r} is a {type(value).__name__}; Chroma stores text, numbers and truth values"
            )
        checked[key] = value
    return checked


def _passage_id(text: str, metadata: dict[str, Any]) -> str:
    identity = json.dumps([text, metadata], sort_keys=True, ensure_ascii=True)
    return f"{ID_PREFIX}{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
