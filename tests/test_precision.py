"""bfloat16 and int8: faster, nearly the same vectors, and never in silence something else.

``MINILM_SOAK_TEXTS`` sets over how many texts the vectors are compared.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_texts import HOSTILE_TEXTS, topic_texts
from small_models import SmallModel
from soak import needs_soak
from stores import TOPICS, local_client
from test_quality import cranfield_ndcg, sts_spearman

from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.engines.openvino import has_bfloat16
from minilm_retrieval.errors import EngineError, InvalidOptionError, PrecisionWarning
from minilm_retrieval.similarity import cosine_similarity
from minilm_retrieval.store.stored_function import stored_function

COMPARED = int(os.environ.get("MINILM_SOAK_TEXTS", "120"))


@dataclass(frozen=True)
class Promise:
    """What a precision promises: cosines to float32, and how far the quality figures may be from those of float32."""

    mean_cosine: float
    least_cosine: float
    sts: float
    ndcg: float


PROMISES = {"bfloat16": Promise(0.9999, 0.9998, 0.05, 0.002), "int8": Promise(0.997, 0.985, 0.3, 0.006)}


@pytest.fixture(scope="module", params=PROMISES)
def reduced(request: pytest.FixtureRequest, engine_options: dict[str, Any]) -> MiniLMEmbedder:
    """An embedder in each reduced precision of each engine."""
    precision = request.param
    if engine_options["backend"] == "openvino" and precision == "bfloat16" and not has_bfloat16():
        pytest.skip("this processor has no instructions for bfloat16")
    if engine_options["backend"] == "torch" and precision == "int8":
        pytest.skip("torch is offered no int8")
    return MiniLMEmbedder(precision=precision, on_truncate="ignore", **engine_options)


def cosines(left: Any, right: Any) -> Any:
    return np.array([cosine_similarity(one, other[None])[0] for one, other in zip(left, right, strict=True)])


def test_vectors_are_near_those_of_float32(reduced: MiniLMEmbedder, embedder: MiniLMEmbedder) -> None:
    # torch takes many times as long in bfloat16 on a processor without instructions for it, and is there for GPUs.
    compared = COMPARED if reduced.backend == "openvino" else COMPARED // 5
    texts = [*topic_texts(compared, 1600), *HOSTILE_TEXTS.values()]
    promise = PROMISES[reduced.precision]
    vectors = reduced.encode(texts)
    exact = embedder.encode(texts)
    found = cosines(vectors, exact)
    assert found.mean() >= promise.mean_cosine
    assert found.min() >= promise.least_cosine
    assert found.max() <= 1
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() <= 1e-5
    assert np.abs(vectors - exact).max() > 1e-5, "another precision was really computed with"


def test_a_text_alone_and_in_a_batch_agree(
    reduced: MiniLMEmbedder, embedder: MiniLMEmbedder, real_texts: list[str]
) -> None:
    texts = real_texts[:20]
    alone = [reduced.encode(text) for text in texts]
    assert cosines(alone, reduced.encode(texts)).min() >= PROMISES[reduced.precision].least_cosine
    assert cosines(alone, embedder.encode(texts)).min() >= PROMISES[reduced.precision].least_cosine


def test_sts_benchmark(reduced: MiniLMEmbedder) -> None:
    if reduced.backend != "openvino":
        pytest.skip("once is enough: torch in bfloat16 is slow on a processor")
    assert sts_spearman(reduced) == pytest.approx(82.03, abs=PROMISES[reduced.precision].sts)


@needs_soak
def test_cranfield(reduced: MiniLMEmbedder) -> None:
    if reduced.backend != "openvino":
        pytest.skip("once is enough: torch in bfloat16 is slow on a processor")
    assert cranfield_ndcg(reduced) == pytest.approx(0.353, abs=PROMISES[reduced.precision].ndcg)


def test_the_model_is_the_same_and_the_engine_is_not(reduced: MiniLMEmbedder, embedder: MiniLMEmbedder) -> None:
    assert reduced.fingerprint == embedder.fingerprint
    assert reduced._engine_key != embedder._engine_key


def test_a_collection_of_one_precision_is_searched_with_the_other_and_that_is_said(
    reduced: MiniLMEmbedder, embedder: MiniLMEmbedder, tmp_path: Path
) -> None:
    collection = open_collection("docs", client=local_client(tmp_path), create=True, embedder=reduced)
    assert stored_function(collection).config["precision"] == reduced.precision
    collection.add(ids=TOPICS, documents=TOPICS, embeddings=list(reduced.encode(TOPICS)))
    with pytest.warns(PrecisionWarning, match=f"embedded in {reduced.precision}, and this embedder computes in f"):
        retriever = Retriever(collection, embedder)
    for text in TOPICS:
        hit = retriever.search(text, k=1)[0]
        assert (hit.id, hit.score) == (text, pytest.approx(1, abs=1 - PROMISES[reduced.precision].least_cosine))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Retriever(collection, reduced)


@pytest.mark.parametrize("positions", [128, 8])
@pytest.mark.parametrize("mode", ["pooling_mode_mean_tokens", "pooling_mode_cls_token"])
def test_int8_takes_other_models_and_other_shapes(small_model: SmallModel, positions: int, mode: str) -> None:
    directory = small_model.write(max_position_embeddings=positions)
    small_model.pooling(**{mode: True})
    if positions < 64:
        small_model.write_json("sentence_bert_config.json", {"max_seq_length": positions, "do_lower_case": False})
    texts = ["one text", "and another one, which is a little longer", "x"]
    expected = MiniLMEmbedder(directory, threads=2, on_truncate="ignore").encode(texts)
    int8 = MiniLMEmbedder(directory, threads=2, precision="int8", on_truncate="ignore")
    assert np.abs(int8.encode(texts) - expected).max() > 1e-6, "it did not fall back to float32"
    assert cosines(int8.encode(texts), expected).min() >= 0.98
    assert cosines([int8.encode(texts[0])], expected[:1]).min() >= 0.98


def test_int8_is_the_processors() -> None:
    for options in ({"backend": "torch"}, {"device": "cuda"}):
        with pytest.raises(InvalidOptionError, match=r"'int8' is for backend='openvino'"):
            MiniLMEmbedder(precision="int8", **options)


def test_a_processor_without_the_instructions_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.engines.openvino.has_bfloat16", lambda core: False)
    embedder = MiniLMEmbedder(precision="bfloat16", threads=1, normalize=False)
    with pytest.raises(EngineError, match=r"no instructions for bfloat16.*Use precision='float32'"):
        embedder.encode("a text")
