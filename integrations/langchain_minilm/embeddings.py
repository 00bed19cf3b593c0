"""The embedder as LangChain's ``Embeddings``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minilm_retrieval.embedder import DEFAULTS, MiniLMEmbedder
from minilm_retrieval.errors import MissingExtraError
from minilm_retrieval.lists import aencode_many, aencode_one, encode_many, encode_one
from minilm_retrieval.options import model_name

try:
    from langchain_core.embeddings import Embeddings
    from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator
    from typing_extensions import Self
except ImportError as error:
    raise MissingExtraError("langchain-core", "langchain") from error


class MiniLMEmbeddings(BaseModel, Embeddings):
    """Embeds documents and queries with all-MiniLM-L6-v2.

    An option that does not exist is refused, and so is changing one later; another object shares the same engine.

    Args:
        model: See :class:`minilm_retrieval.MiniLMEmbedder`, as for all other arguments; also called ``model_name``.
        backend: Likewise.
        precision: Likewise.
        device: Likewise.
        threads: Likewise.
        max_seq_length: Likewise.
        normalize: Likewise.
        on_truncate: Likewise.
        show_progress: Show a progress bar on standard error while documents are embedded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), populate_by_name=True)

    model_name: str = Field(default=model_name(DEFAULTS["model"]), alias="model")
    backend: str = DEFAULTS["backend"]
    precision: str = DEFAULTS["precision"]
    device: str | None = DEFAULTS["device"]
    threads: int | None = DEFAULTS["threads"]
    max_seq_length: int | None = DEFAULTS["max_seq_length"]
    normalize: bool = DEFAULTS["normalize"]
    on_truncate: str = DEFAULTS["on_truncate"]
    show_progress: bool = False

    _embedder: MiniLMEmbedder = PrivateAttr()

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

    @property
    def embedder(self) -> MiniLMEmbedder:
        """The core embedder behind this object."""
        return self._embedder

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides a vector: the namespace for a cache of embeddings."""
        return self._embedder.fingerprint

    def count_tokens(self, text: str) -> int:
        """Count a text's tokens as the model does: the ``length_function`` for LangChain's text splitters."""
        return self._embedder.count_tokens(text)[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed n texts: n lists of 384 numbers."""
        return encode_many(self._embedder, texts, self.show_progress)

    def embed_query(self, text: str) -> list[float]:
        """Embed one text: a list of 384 numbers."""
        return encode_one(self._embedder, text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Do as :meth:`embed_documents` does, off the event loop."""
        return await aencode_many(self._embedder, texts, self.show_progress)

    async def aembed_query(self, text: str) -> list[float]:
        """Do as :meth:`embed_query` does, off the event loop."""
        return await aencode_one(self._embedder, text)
