"""What is evaluated: anything that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import EngineError, MissingExtraError, ModelNotFoundError
from minilm_retrieval.options import PRECISIONS

BLOCK = 512
"""So many texts are held in memory, with their vectors."""

_T = TypeVar("_T")


class Encoder(Protocol):
    """What an evaluation needs of a model; an embedder, a sentence-transformers model and many others have it."""

    def encode(self, texts: list[str], /) -> Any:
        """Return the vectors of texts, shape ``(n, d)``."""


class CheckedEncoder:
    """An encoder whose vectors are checked, and whose over-long texts are counted and cut without a warning.

    Args:
        name: For messages.
        encoder: Any.

    Attributes:
        cut: How many of the texts were longer than the model reads; ``None`` for an encoder of another library.
    """

    def __init__(self, name: str, encoder: Encoder) -> None:
        self._name = name
        self._encoder = encoder.quietly() if isinstance(encoder, MiniLMEmbedder) else encoder
        self.cut = 0 if isinstance(encoder, MiniLMEmbedder) else None

    def encode(self, texts: list[str]) -> FloatArray:
        """Return the vectors of texts, float32 of shape ``(n, d)``.

        Raises:
            EngineError: They are of another shape, or not finite.
        """
        vectors = np.asarray(self._encoder.encode(texts), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise EngineError(
                f"{self._name} gave an array of shape {vectors.shape} for {len(texts)} texts; expected a row for each."
            )
        if not np.isfinite(vectors).all():
            row = int(np.argmin(np.isfinite(vectors).all(axis=1)))
            raise EngineError(f"{self._name} gave a vector that is not finite for the text {texts[row][:60]!r}.")
        if isinstance(self._encoder, MiniLMEmbedder) and self.cut is not None:
            longest = self._encoder.max_seq_length
            self.cut += sum(tokens > longest for tokens in self._encoder.count_tokens(texts))
        return vectors


def blocks(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Group items, in order, into lists of :data:`BLOCK`."""
    iterator = iter(items)
    while block := list(islice(iterator, BLOCK)):
        yield block


def unsupported_precisions() -> dict[str, str]:
    """Return the precisions that this machine does not compute in, each with the reason."""
    from minilm_retrieval.engines.openvino import has_bfloat16

    return {} if has_bfloat16() else {"bfloat16": "this processor has no instructions for it"}


def supported_precisions() -> list[str]:
    """Return the precisions that this machine computes in, float32 first."""
    unsupported = unsupported_precisions()
    return [precision for precision in PRECISIONS if precision not in unsupported]


def load_sentence_transformer(name: str) -> Encoder:
    """Load a sentence-transformers model, to compare with.

    Args:
        name: A directory or a hub id; code from the model's repository is not run.

    Raises:
        ModelNotFoundError: It cannot be loaded.
        MissingExtraError: sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "torch") from error
    try:
        model: Encoder = SentenceTransformer(name, trust_remote_code=False)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelNotFoundError(f"sentence-transformers cannot load the model {name!r}: {reason}") from error
    return model
