"""The embedder as LlamaIndex's ``BaseEmbedding``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from minilm_retrieval.embedder import DEFAULTS, MiniLMEmbedder
from minilm_retrieval.errors import MissingExtraError
from minilm_retrieval.lists import aencode_many, aencode_one, encode_many, encode_one
from minilm_retrieval.options import model_name
from minilm_retrieval.tokenizer import check_texts

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
    from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator
    from typing_extensions import Self
except ImportError as error:
    raise MissingExtraError("llama-index-core", "llama-index") from error

# Texts handed to the core at once, which makes its own batches of them: as many as LlamaIndex allows.
EMBED_BATCH_SIZE = 2048


class MiniLMEmbedding(BaseEmbedding):
    """Embeds texts and queries with all-MiniLM-L6-v2.

    An option that does not exist is refused. LlamaIndex's own options, such as ``callback_manager`` and
    ``embeddings_cache``, work as they do for its other models.

    Args:
        model_name: The ``model`` of :class:`minilm_retrieval.MiniLMEmbedder`.
        backend: See :class:`minilm_retrieval.MiniLMEmbedder`, as for the following arguments.
        precision: Likewise.
        device: Likewise.
        threads: Likewise.
        max_seq_length: Likewise.
        normalize: Likewise.
        on_truncate: Likewise.
        embed_batch_size: Texts handed to the embedder at once, at most 2048.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True)

    model_name: str = Field(default=model_name(DEFAULTS["model"]), frozen=True)
    backend: str = Field(default=DEFAULTS["backend"], frozen=True)
    precision: str = Field(default=DEFAULTS["precision"], frozen=True)
    device: str | None = Field(default=DEFAULTS["device"], frozen=True)
    threads: int | None = Field(default=DEFAULTS["threads"], frozen=True)
    max_seq_length: int | None = Field(default=DEFAULTS["max_seq_length"], frozen=True)
    normalize: bool = Field(default=DEFAULTS["normalize"], frozen=True)
    on_truncate: str = Field(default=DEFAULTS["on_truncate"], frozen=True)
    embed_batch_size: int = Field(default=EMBED_BATCH_SIZE, gt=0, le=2048)

    _embedder: MiniLMEmbedder = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _without_class_name(cls, values: Any) -> Any:
        # LlamaIndex writes it into every dump.
        return {key: values[key] for key in values if key != "class_name"} if isinstance(values, dict) else values

    @field_validator("model_name", mode="before")
    @classmethod
    def _name_of(cls, model: Any) -> str:
        return model_name(model)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Made here, outside pydantic's validation, so that its errors stay this library's own; it loads nothing yet.
        chosen = {name: getattr(self, name) for name in DEFAULTS if name != "model"}
        self._embedder = MiniLMEmbedder(self.model_name, **chosen)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with an embedder for the updated options."""
        return type(self)(**{**dict(self), **(update or {})})

    @classmethod
    def class_name(cls) -> str:
        """Return the name that ``to_dict`` records."""
        return "MiniLMEmbedding"

    @property
    def embedder(self) -> MiniLMEmbedder:
        """The core embedder behind this object."""
        return self._embedder

    def get_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **options: Any
    ) -> list[Embedding]:
        """Embed n texts: n lists of 384 numbers. LlamaIndex itself would take the keys of a mapping for texts."""
        return super().get_text_embedding_batch(check_texts(texts), show_progress, **options)

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **options: Any
    ) -> list[Embedding]:
        """Do as :meth:`get_text_embedding_batch` does, off the event loop."""
        return await super().aget_text_embedding_batch(check_texts(texts), show_progress, **options)

    def tokenize(self, text: str) -> list[int]:
        """Return all token ids of a text, special tokens included: the ``tokenizer`` for LlamaIndex's node parsers."""
        ids: list[int] = self._embedder.tokenizer.tokenize(text, sys.maxsize).ids.tolist()
        return ids

    def _get_query_embedding(self, query: str) -> Embedding:
        return encode_one(self._embedder, query)

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await aencode_one(self._embedder, query)

    def _get_text_embedding(self, text: str) -> Embedding:
        return encode_one(self._embedder, text)

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await aencode_one(self._embedder, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return encode_many(self._embedder, texts)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await aencode_many(self._embedder, texts)
