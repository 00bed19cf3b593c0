"""Any text at all has a vector: finite, of unit length, in the right form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sample_texts import HOSTILE_TEXTS

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import TruncationWarning

any_text = st.text(st.characters())


def check(vectors: npt.NDArray[np.float32], count: int) -> None:
    assert vectors.shape == (count, 384)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.isfinite(vectors).all()
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() <= 1e-5 if count else True


@settings(max_examples=150)
@given(text=any_text)
@example(text="\ud800")
@example(text="\udfff\ud800 x")
@example(text="\x00")
def test_any_text_has_a_unit_vector(embedder: MiniLMEmbedder, text: str) -> None:
    vector = embedder.encode(text)
    assert vector.shape == (384,)
    check(vector[None], 1)


@settings(max_examples=60)
@given(texts=st.lists(any_text, max_size=30))
def test_any_texts_have_unit_vectors(embedder: MiniLMEmbedder, texts: list[str]) -> None:
    check(embedder.encode(texts), len(texts))


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_hostile_texts_have_the_references_vectors(any_embedder: MiniLMEmbedder, reference: Any, name: str) -> None:
    text = HOSTILE_TEXTS[name]
    assert np.abs(any_embedder.encode(text) - reference.encode(text)).max() <= 1e-5
    check(any_embedder.encode([text, "beside it"]), 2)


def test_a_lone_surrogate_is_embedded_as_the_replacement_character(embedder: MiniLMEmbedder) -> None:
    expected = embedder.encode("a \ufffd b")
    for surrogate in ("\ud800", "\udbff", "\udc00", "\udfff"):
        assert (embedder.encode(f"a {surrogate} b") == expected).all()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("word " * 200_000, 200_002),
        ("\u6211" * 1_000_000, 1_000_002),
        ("x" * 1_000_000, 3),
        (" " * 1_000_000, 2),
        ("\ud800" * 1_000_000, 2),
    ],
    ids=["words", "chinese", "one word", "spaces", "surrogates"],
)
def test_a_million_characters(text: str, tokens: int) -> None:
    assert len(text) == 1_000_000
    embedder = MiniLMEmbedder(on_truncate="warn" if tokens > 256 else "error")
    if tokens > 256:
        with pytest.warns(TruncationWarning, match=f"{tokens} tokens"):
            vector = embedder.encode(text)
        with pytest.warns(TruncationWarning):
            assert np.abs(vector - embedder.encode(text[:2000])).max() <= 1e-6, "only the beginning is read"
    else:
        vector = embedder.encode(text)
    check(vector[None], 1)


def test_one_huge_text_among_small_ones(embedder: MiniLMEmbedder) -> None:
    texts = ["a", "word " * 200_000, "b", "", "c"]
    vectors = embedder.encode(texts)
    check(vectors, 5)
    for text, vector in zip(texts, vectors, strict=True):
        assert np.abs(embedder.encode(text) - vector).max() <= 1e-5
