"""Split documents into passages that the model reads whole, with their places in the original."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.ingest.documents import Document
from minilm_retrieval.ingest.metadata import MetadataPolicy
from minilm_retrieval.ingest.passage_ids import PassageId, source_digest, version_digest
from minilm_retrieval.ingest.windows import IN_WINDOWS, has_long_line, split_in_windows
from minilm_retrieval.tokenizer import well_formed
from minilm_retrieval.whole_numbers import whole_number

_FEWEST_TOKENS = 8
# Another version may split at other places.
_SPLITTER = f"semantic-text-splitter {version('semantic-text-splitter')}"


@dataclass(frozen=True)
class Passage:
    """A piece of a document: ``document.text[start:end] == text``.

    Attributes:
        id: Derived from the source, its content and the place, see :class:`PassageId`; equal passages have equal ids.
        text: At most the splitter's number of tokens.
        metadata: The document's, with ``source``, ``start`` and ``end`` (characters).
    """

    id: str
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class CheckedDocument:
    """A document that can be stored, and what its passages' ids begin with.

    Attributes:
        document: With a text that UTF-8 can express.
        metadata: What is stored of the document's.
        notes: What is not stored as it came.
        source: Digest of the document's id.
        version: Digest of all that decides its passages.
    """

    document: Document
    metadata: dict[str, Any]
    notes: list[str]
    source: str
    version: str


class PassageSplitter:
    """Splits at headings, paragraphs, sentences or words, whichever fits, counting with the model's own tokenizer.

    Args:
        embedder: Whose tokenizer counts.
        max_tokens: Most tokens of a passage, special tokens included; ``None`` for the embedder's maximum.
        overlap: Most tokens that a passage repeats of the one before.
        metadata_policy: See :class:`minilm_retrieval.ingest.MetadataPolicy`.

    Raises:
        InvalidOptionError: ``max_tokens`` is more than the embedder reads or too few to hold a word, ``overlap`` is
            more than half of it, or the policy is unknown.
    """

    def __init__(
        self,
        embedder: MiniLMEmbedder,
        max_tokens: int | None = None,
        overlap: int = 0,
        metadata_policy: str = "convert",
    ) -> None:
        limit = embedder.max_seq_length
        tokens = limit if max_tokens is None else whole_number(max_tokens)
        if tokens is None or not _FEWEST_TOKENS <= tokens <= limit:
            raise InvalidOptionError(f"Passages may have {_FEWEST_TOKENS} to {limit} tokens, got {max_tokens!r}.")
        shared = whole_number(overlap)
        if shared is None or not 0 <= shared <= tokens // 2:
            raise InvalidOptionError(
                f"The overlap may be 0 to {tokens // 2} tokens, half of a passage of {tokens}; got {overlap!r}."
            )
        self.max_tokens = tokens
        self.overlap = overlap = shared
        self._policy = MetadataPolicy(metadata_policy)
        tokenizer = embedder.tokenizer
        rules = (tokenizer.plain_settings(), tokens - tokenizer.special_tokens, overlap)
        self._splitters: dict[str, Any] = {
            "text": TextSplitter.from_huggingface_tokenizer_str(*rules),
            "markdown": MarkdownSplitter.from_huggingface_tokenizer_str(*rules),
        }

    def check(self, document: Document) -> CheckedDocument:
        """Make sure that a document can be stored, and find out which version of its source it is; splits nothing.

        Raises:
            DocumentError: The id, text, format or metadata is not one that can be stored.
        """
        if not isinstance(document.id, str) or not document.id:
            raise DocumentError(f"A document's id must be a text that is not empty, got {document.id!r}")
        if not isinstance(document.text, str):
            raise DocumentError(f"A document's text must be a str, got {type(document.text).__name__}")
        if document.format not in self._splitters:
            known = ", ".join(self._splitters)
            raise DocumentError(f"A document's format must be one of {known}, got {document.format!r}")
        metadata, notes = self._policy.apply(document.metadata)
        id, text = well_formed(document.id), well_formed(document.text)
        content = hashlib.sha256(text.encode()).hexdigest()
        # Chroma searches by `source` to find a document's passages, so the id has to be stored as it is compared.
        deciding = [content, metadata, document.format, self.max_tokens, self.overlap, _SPLITTER]
        if has_long_line(text):
            deciding.append(IN_WINDOWS)
        return CheckedDocument(
            Document(id, text, document.metadata, document.format),
            metadata,
            notes,
            source_digest(id),
            version_digest(json.dumps(deciding, sort_keys=True)),
        )

    def split(self, document: Document | CheckedDocument) -> list[Passage]:
        """Return a document's passages in order; none for a text of white space alone.

        Raises:
            DocumentError: See :meth:`check`.
        """
        checked = document if isinstance(document, CheckedDocument) else self.check(document)
        source = checked.document.id
        pieces = split_in_windows(self._splitters[checked.document.format], checked.document.text)
        return [
            Passage(
                str(PassageId(checked.source, checked.version, number, len(pieces))),
                piece,
                {**checked.metadata, "source": source, "start": start, "end": start + len(piece)},
            )
            for number, (start, piece) in enumerate(pieces)
        ]
