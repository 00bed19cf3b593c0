"""This library's embedding function for Chroma, registered under the name ``minilm_retrieval``."""

from __future__ import annotations

from typing import Any

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError, MissingExtraError, UnsupportedModelError
from minilm_retrieval.model import STANDARD_CONFIG, standard_fingerprint
from minilm_retrieval.model_files import STANDARD_MODEL
from minilm_retrieval.tokenizer import check_texts

try:
    from chromadb import Documents, EmbeddingFunction, Embeddings
    from chromadb.api.types import Space
    from chromadb.utils.embedding_functions import register_embedding_function
except ModuleNotFoundError as error:
    if error.name != "chromadb":
        raise
    raise MissingExtraError("chromadb", "chroma") from error

NAME = "minilm_retrieval"
CHROMA_DEFAULT_NAME = "default"

_DECIDING = ("model", "max_seq_length", "normalize", "fingerprint")
_KEYS: dict[str, type] = {
    "model": str,
    "precision": str,
    "max_seq_length": int,
    "normalize": bool,
    "on_truncate": str,
    "fingerprint": str,
}


@register_embedding_function
class MiniLMEmbeddingFunction(EmbeddingFunction[Documents]):
    """Embeds documents and queries with all-MiniLM-L6-v2, in any Chroma collection.

    The configuration that Chroma stores holds what decides a vector, and nothing that says where to load it from: a
    stored path, address or class would be somebody else's instruction to this process.

    Args:
        model: See :class:`minilm_retrieval.MiniLMEmbedder`, as for all other arguments. A model other than
            all-MiniLM-L6-v2 is recorded by its fingerprint; pass the function again when you open the collection.
        backend: Likewise.
        precision: Likewise.
        device: Likewise.
        threads: Likewise.
        max_seq_length: Likewise.
        normalize: Likewise.
        on_truncate: Likewise.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        backend: str = "auto",
        precision: str = "float32",
        device: str | None = None,
        threads: int | None = None,
        max_seq_length: int | None = None,
        normalize: bool = True,
        on_truncate: str = "warn",
    ) -> None:
        self.embedder = MiniLMEmbedder(
            model,
            backend=backend,
            precision=precision,
            device=device,
            threads=threads,
            max_seq_length=max_seq_length,
            normalize=normalize,
            on_truncate=on_truncate,
        )
        self._config = _config_of(self.embedder)
        self._recorded_fingerprint: str | None = None

    @classmethod
    def of(cls, embedder: MiniLMEmbedder) -> MiniLMEmbeddingFunction:
        """Return a function that embeds with an embedder that exists already."""
        function = cls(on_truncate=embedder.on_truncate)
        function.embedder = embedder
        function._config = _config_of(embedder)
        return function

    @classmethod
    def for_default(cls, **options: Any) -> MiniLMEmbeddingFunction:
        """Return a function that opens collections made with Chroma's own default function.

        Chroma stores it under its default's name, so the collection stays usable where this library is not installed.
        The class itself keeps its own name: Chroma's registered default is not replaced.

        Args:
            options: As for the class, except ``model``, ``max_seq_length`` and ``normalize``, which are the default's.
        """
        refused = {"model", "max_seq_length", "normalize"} & set(options)
        if refused:
            raise InvalidOptionError(
                f"for_default() takes no {', '.join(sorted(refused))}: Chroma's default decides it."
            )
        function = cls(**options)
        function.name = _default_name  # type: ignore[method-assign]
        function._config = {}
        return function

    def __call__(self, input: Documents) -> Embeddings:
        """Embed documents: a list of n texts to a list of n float32 arrays of shape ``(384,)``."""
        if self._recorded_fingerprint is not None and self._recorded_fingerprint != self.embedder.fingerprint:
            raise UnsupportedModelError(
                f"This collection was made with another model (fingerprint {self._recorded_fingerprint}). "
                "Open it with embedding_function=MiniLMEmbeddingFunction(model=...) that names that model's directory."
            )
        return list(self.embedder.encode(check_texts(input)))

    @staticmethod
    def name() -> str:
        """Return the name under which Chroma stores the function."""
        return NAME

    def default_space(self) -> Space:
        """Return the distance of new collections: cosine."""
        return "cosine"

    def supported_spaces(self) -> list[Space]:
        """Return every distance that ranks as the cosine: all that Chroma has, if the vectors have unit length."""
        return ["cosine", "l2", "ip"] if self.embedder.normalize else ["cosine"]

    def max_tokens(self) -> int:
        """Return the most tokens of a text that are read, special tokens included."""
        return self.embedder.max_seq_length

    def get_config(self) -> dict[str, Any]:
        """Return what Chroma stores: plain JSON, with no path in it."""
        return dict(self._config)

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> MiniLMEmbeddingFunction:
        """Make the function that a stored configuration describes; loads nothing yet."""
        MiniLMEmbeddingFunction.validate_config(config)
        options = {
            key: config[key] for key in ("precision", "max_seq_length", "normalize", "on_truncate") if key in config
        }
        function = MiniLMEmbeddingFunction(**options)
        if config.get("model", STANDARD_MODEL) != STANDARD_MODEL:
            function._recorded_fingerprint = config.get("fingerprint", "unknown")
            function._config = dict(config)
        return function

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        """Refuse a configuration with unknown keys or wrong types.

        Raises:
            InvalidOptionError: The message names the key.
        """
        for key, value in config.items():
            if key not in _KEYS:
                raise InvalidOptionError(
                    f"The stored configuration has the unknown key {key!r}; known: {', '.join(_KEYS)}."
                )
            if not isinstance(value, _KEYS[key]) or (isinstance(value, bool) and _KEYS[key] is not bool):
                raise InvalidOptionError(
                    f"The stored configuration's {key!r} must be {_KEYS[key].__name__}, got {value!r}."
                )

    def validate_config_update(self, old_config: dict[str, Any], new_config: dict[str, Any]) -> None:
        """Refuse an update that would change the vectors of a collection that holds some.

        Raises:
            InvalidOptionError: The message names the key and both values.
        """
        self.validate_config(new_config)
        for key in _DECIDING:
            if key in old_config and old_config[key] != new_config.get(key):
                raise InvalidOptionError(
                    f"{key} decides the vectors of this collection and cannot change from {old_config[key]!r} "
                    f"to {new_config.get(key)!r}. Make a new collection and index the documents again."
                )


def _default_name() -> str:
    return CHROMA_DEFAULT_NAME


def _config_of(embedder: MiniLMEmbedder) -> dict[str, Any]:
    standard = embedder.is_standard
    # For all-MiniLM-L6-v2 everything is known without a file; another model is read now, so that a mistake shows here.
    length = embedder.requested_length or STANDARD_CONFIG.max_seq_length if standard else embedder.max_seq_length
    fingerprint = standard_fingerprint(length, embedder.normalize) if standard else embedder.fingerprint
    return {
        "model": STANDARD_MODEL if standard else "custom",
        "precision": embedder.precision,
        "max_seq_length": length,
        "normalize": embedder.normalize,
        "on_truncate": embedder.on_truncate,
        "fingerprint": fingerprint,
    }
