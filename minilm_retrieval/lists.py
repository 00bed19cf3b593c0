"""Vectors as lists of Python floats, which some frameworks ask for in place of arrays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.tokenizer import check_text, check_texts


def encode_one(embedder: MiniLMEmbedder, text: str) -> list[float]:
    """Embed one text; see :meth:`minilm_retrieval.MiniLMEmbedder.encode`, as for the errors."""
    vector: list[float] = embedder.encode(check_text(text)).tolist()
    return vector


def encode_many(embedder: MiniLMEmbedder, texts: Sequence[str], show_progress: bool = False) -> list[list[float]]:
    """Embed a sequence of texts, one list a text; see :meth:`minilm_retrieval.MiniLMEmbedder.encode`."""
    return _lists(embedder.encode(check_texts(texts), show_progress))


async def aencode_one(embedder: MiniLMEmbedder, text: str) -> list[float]:
    """Do as :func:`encode_one` does, off the event loop."""
    vector: list[float] = (await embedder.aencode(check_text(text))).tolist()
    return vector


async def aencode_many(
    embedder: MiniLMEmbedder, texts: Sequence[str], show_progress: bool = False
) -> list[list[float]]:
    """Do as :func:`encode_many` does, off the event loop."""
    vectors = await embedder.aencode(check_texts(texts), show_progress)
    return await asyncio.to_thread(_lists, vectors)


def _lists(vectors: FloatArray) -> list[list[float]]:
    # Row by row, since converting a large array at once keeps all other threads, the event loop's too, waiting.
    return [row.tolist() for row in vectors]
