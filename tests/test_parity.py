"""The same vectors as sentence-transformers to 1e-5 in every component, whatever else is in the batch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from soak import SOAK

from minilm_retrieval import MiniLMEmbedder

TOLERANCE = 1e-5
# The reference takes minutes for all texts, which `make soak` has; one in four, of all lengths, is taken otherwise.
STEP = 1 if SOAK else 4
Array = npt.NDArray[np.float32]


@pytest.fixture(scope="session")
def texts(real_texts: list[str]) -> list[str]:
    return real_texts[::STEP]


@pytest.fixture(scope="session")
def expected(reference: Any, texts: list[str]) -> Array:
    """The reference's vectors, made once."""
    return np.asarray(reference.encode(texts, batch_size=16), dtype=np.float32)


@pytest.fixture(scope="session")
def sample(any_embedder: MiniLMEmbedder) -> slice:
    """All texts for OpenVINO; torch on the processor runs the reference's own modules, and one in four is enough."""
    return slice(0, None, 4 if any_embedder.backend == "torch" and any_embedder.device == "cpu" else 1)


@pytest.fixture(scope="session")
def vectors(any_embedder: MiniLMEmbedder, texts: list[str], sample: slice) -> Array:
    return any_embedder.encode(texts[sample])


def test_the_texts_are_what_they_should_be(embedder: MiniLMEmbedder, real_texts: list[str]) -> None:
    counts = np.array(embedder.count_tokens(real_texts))
    assert len(set(real_texts)) == 2000
    assert counts.min() == 3
    assert 1800 < counts.max() <= 3000
    assert (counts > 256).sum() > 200
    assert ((counts > 128) & (counts <= 256)).sum() > 100
    assert (counts < 20).sum() > 400


def test_every_component_is_the_references(vectors: Array, expected: Array, sample: slice) -> None:
    assert len(vectors) >= 125
    assert vectors.shape == expected[sample].shape
    assert np.abs(vectors - expected[sample]).max() <= TOLERANCE


def test_every_vector_has_unit_length(vectors: Array) -> None:
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() <= 1e-6


def test_alone_or_among_others(any_embedder: MiniLMEmbedder, texts: list[str], vectors: Array, sample: slice) -> None:
    chosen = list(range(0, len(vectors), 8))
    alone = np.stack([any_embedder.encode(texts[sample][row]) for row in chosen])
    assert np.abs(alone - vectors[chosen]).max() <= TOLERANCE


def test_among_any_others(any_embedder: MiniLMEmbedder, texts: list[str], vectors: Array, sample: slice) -> None:
    chance = random.Random(0)
    for size in (2, 3, 7, 20, 33):
        rows = chance.sample(range(len(vectors)), size)
        together = any_embedder.encode([texts[sample][row] for row in rows])
        assert np.abs(together - vectors[rows]).max() <= TOLERANCE


def test_a_short_text_among_long_ones(any_embedder: MiniLMEmbedder) -> None:
    alone = any_embedder.encode("short")
    for count in (1, 2, 5, 9):
        longer = [f"{number} " + "long " * (60 * number + 20) for number in range(count)]
        assert np.abs(any_embedder.encode([*longer, "short"])[-1] - alone).max() <= TOLERANCE


def test_threads_change_nothing(embedder: MiniLMEmbedder, real_texts: list[str]) -> None:
    texts = real_texts[:40]
    expected = embedder.encode(texts)
    for threads in (1, 2, 3):
        with MiniLMEmbedder(threads=threads, on_truncate="ignore") as other:
            assert np.abs(other.encode(texts) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("length", [3, 64, 128, 512])
def test_other_lengths(engine_options: dict[str, Any], reference: Any, real_texts: list[str], length: int) -> None:
    texts = [text for text in real_texts if len(text) > 1500][:6]
    embedder = MiniLMEmbedder(max_seq_length=length, on_truncate="ignore", **engine_options)
    try:
        reference.max_seq_length = length
        expected = reference.encode(texts)
    finally:
        reference.max_seq_length = 256
    assert np.abs(embedder.encode(texts) - expected).max() <= TOLERANCE


def test_without_normalisation(engine_options: dict[str, Any], reference: Any, real_texts: list[str]) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(modules=[reference[0], reference[1]], device="cpu")
    texts = real_texts[:20]
    expected = encoder.encode(texts)
    embedder = MiniLMEmbedder(normalize=False, on_truncate="ignore", **engine_options)
    vectors = embedder.encode(texts)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 0.5, "these vectors are not of unit length by chance"
    assert np.abs((vectors - expected) / lengths).max() <= TOLERANCE
