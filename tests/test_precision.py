"""bfloat16: faster, nearly the same vectors, and never in silence something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_texts import HOSTILE_TEXTS
from stores import TOPICS, local_client
from test_quality import sts_spearman

from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.engines.openvino import has_bfloat16
from minilm_retrieval.errors import EngineError
from minilm_retrieval.similarity import cosine_similarity
from minilm_retrieval.store.collection import stored_function


@pytest.fixture(scope="module")
def bfloat16(engine_options: dict[str, Any]) -> MiniLMEmbedder:
    """An embedder in bfloat16 of each engine."""
    if engine_options["backend"] == "openvino" and not has_bfloat16():
        pytest.skip("this processor has no instructions for bfloat16")
    return MiniLMEmbedder(precision="bfloat16", on_truncate="ignore", **engine_options)


def cosines(left: Any, right: Any) -> Any:
    return np.array([cosine_similarity(one, other[None])[0] for one, other in zip(left, right, strict=True)])


def test_vectors_are_near_those_of_float32(
    bfloat16: MiniLMEmbedder, embedder: MiniLMEmbedder, real_texts: list[str]
) -> None:
    texts = [*real_texts[:300], *HOSTILE_TEXTS.values()]
    vectors = bfloat16.encode(texts)
    found = cosines(vectors, embedder.encode(texts))
    assert found.min() >= 0.9998
    assert found.max() <= 1
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() <= 1e-5
    assert np.abs(vectors - embedder.encode(texts)).max() > 1e-5, "another precision was really computed with"
    assert cosines([bfloat16.encode(texts[0])], vectors[:1]).min() >= 0.9998


def test_sts_benchmark(bfloat16: MiniLMEmbedder) -> None:
    if bfloat16.backend != "openvino":
        pytest.skip("once is enough: torch in bfloat16 is slow on a processor")
    assert sts_spearman(bfloat16) == pytest.approx(82.03, abs=0.05)


def test_the_model_is_the_same_and_the_engine_is_not(bfloat16: MiniLMEmbedder, embedder: MiniLMEmbedder) -> None:
    assert bfloat16.fingerprint == embedder.fingerprint
    assert bfloat16._engine_key != embedder._engine_key


def test_a_collection_of_one_precision_is_searched_with_the_other(
    bfloat16: MiniLMEmbedder, embedder: MiniLMEmbedder, tmp_path: Path
) -> None:
    collection = open_collection("docs", client=local_client(tmp_path), create=True, embedder=bfloat16)
    assert stored_function(collection).config["precision"] == "bfloat16"
    collection.add(ids=TOPICS, documents=TOPICS, embeddings=list(bfloat16.encode(TOPICS)))
    for text in TOPICS:
        hit = Retriever(collection, embedder).search(text, k=1)[0]
        assert (hit.id, hit.score) == (text, pytest.approx(1, abs=2e-4))


def test_a_processor_without_the_instructions_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.engines.openvino.has_bfloat16", lambda core: False)
    embedder = MiniLMEmbedder(precision="bfloat16", threads=1, normalize=False)
    with pytest.raises(EngineError, match=r"no instructions for bfloat16.*Use precision='float32'"):
        embedder.encode("a text")
