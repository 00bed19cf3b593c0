"""An embedding function that only stands for what a collection has recorded, so that the record can be copied."""

from __future__ import annotations

from typing import Any

from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, Space

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store.stored_function import StoredFunction


class RecordedFunction(EmbeddingFunction[Documents]):
    """Has the name and configuration of another function, which need not be installed, and embeds nothing.

    Args:
        function: What is recorded.
    """

    def __init__(self, function: StoredFunction) -> None:
        self._function = function
        self.name = lambda: str(function.name)  # type: ignore[method-assign]

    def __call__(self, input: Documents) -> Embeddings:
        """Refuse.

        Raises:
            InvalidOptionError: Always.
        """
        raise InvalidOptionError(f"The function {self._function.name!r} is only recorded here; it embeds nothing.")

    @staticmethod
    def name() -> str:
        """Return the name of the class; each object has that of the function it stands for."""
        return "recorded"

    def get_config(self) -> dict[str, Any]:
        """Return the recorded configuration."""
        return dict(self._function.config)

    def default_space(self) -> Space:
        """Return Chroma's own default, which is never used: a copy states its space."""
        return "l2"

    def supported_spaces(self) -> list[Space]:
        """Return every distance that Chroma has."""
        return ["cosine", "l2", "ip"]

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> RecordedFunction:
        """Return a stand-in without a name: Chroma records only functions that can be built."""
        return RecordedFunction(StoredFunction(None, config))
