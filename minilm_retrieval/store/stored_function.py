"""The embedding function that Chroma recorded with a collection, and the model that it tells of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minilm_retrieval.model_files import STANDARD_MODEL

if TYPE_CHECKING:
    from chromadb import Collection

# Chroma functions that compute this model under another name.
_SAME_MODEL_FUNCTIONS = frozenset({"default", "onnx_mini_lm_l6_v2"})
# Other tools and directories call it by such names; the models of the same family are told by their own.
_MAY_BE_SAME_MODEL = re.compile(r"all-minilm(?!-?l12|:33m|:l12)", re.IGNORECASE)
_SAME_MODEL_NAMES = frozenset({STANDARD_MODEL, STANDARD_MODEL.split("/")[1]})


@dataclass(frozen=True)
class StoredFunction:
    """The embedding function recorded with a collection.

    Attributes:
        name: Chroma's name for it, ``None`` where none is recorded.
        config: Its stored options.
    """

    name: str | None
    config: Mapping[str, Any]

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint that this library recorded, if it made the collection."""
        from minilm_retrieval.store.embedding_function import NAME

        return str(self.config["fingerprint"]) if self.name == NAME and "fingerprint" in self.config else None

    @property
    def same_model(self) -> bool | None:
        """Whether it computes all-MiniLM-L6-v2; ``None`` where nobody can tell from the record."""
        from minilm_retrieval.store.embedding_function import NAME

        if self.name is None:
            return None
        if self.name in _SAME_MODEL_FUNCTIONS:
            return True
        if self.name == NAME:
            return bool(self.config.get("model", STANDARD_MODEL) == STANDARD_MODEL)
        if self.name == "sentence_transformer":
            return self.config.get("model_name") in _SAME_MODEL_NAMES or None
        return None

    @property
    def other_model(self) -> str | None:
        """The model that the record names, ``None`` where it names none or, by whatever name, all-MiniLM-L6-v2."""
        named = self.config.get("model_name") or self.config.get("model")
        return str(named) if named and not _MAY_BE_SAME_MODEL.search(str(named)) else None


def stored_function(collection: Collection) -> StoredFunction:
    """Return the embedding function recorded with a collection."""
    recorded = (collection.configuration_json or {}).get("embedding_function") or {}
    return StoredFunction(recorded.get("name"), recorded.get("config") or {})
