"""Vectors that sentence-transformers gave, kept as data: right around every length where a limit could be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilm_retrieval import MiniLMEmbedder

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "golden.json").read_text(encoding="utf-8"))
ENTRIES: list[dict[str, Any]] = GOLDEN["entries"]
each_length = pytest.mark.parametrize("entry", ENTRIES, ids=[str(entry["tokens"]) for entry in ENTRIES])


def test_the_data_is_whole() -> None:
    assert [entry["tokens"] for entry in ENTRIES] == [127, 128, 129, 255, 256, 257, 512]
    assert GOLDEN["made_with"]["max_seq_length"] == 256
    for entry in ENTRIES:
        assert np.linalg.norm(entry["vector"]) == pytest.approx(1, abs=1e-6)


@each_length
def test_each_text_has_the_tokens_that_it_is_for(embedder: MiniLMEmbedder, entry: dict[str, Any]) -> None:
    assert embedder.count_tokens(entry["text"]) == [entry["tokens"]]


@each_length
def test_each_engine_gives_the_golden_vector(any_embedder: MiniLMEmbedder, entry: dict[str, Any]) -> None:
    assert np.abs(any_embedder.encode(entry["text"]) - np.array(entry["vector"])).max() <= 1e-5


def test_all_at_once(any_embedder: MiniLMEmbedder) -> None:
    vectors = any_embedder.encode([entry["text"] for entry in ENTRIES])
    assert np.abs(vectors - np.array([entry["vector"] for entry in ENTRIES])).max() <= 1e-5


@pytest.mark.parametrize(
    ("limit", "changed"), [(128, {129, 255, 256, 257, 512}), (512, {257, 512}), (255, {256, 257, 512})]
)
def test_another_limit_would_show(limit: int, changed: set[int], standard_directory: Path) -> None:
    """The tests above can fail: with a limit from another file exactly the texts beyond it get other vectors."""
    embedder = MiniLMEmbedder(max_seq_length=limit, on_truncate="ignore")
    for entry in ENTRIES:
        difference = np.abs(embedder.encode(entry["text"]) - np.array(entry["vector"])).max()
        assert (difference > 1e-4) == (entry["tokens"] in changed), entry["tokens"]
