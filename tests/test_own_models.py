"""Other models of the same architecture: the same vectors as sentence-transformers on the same directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sample_texts import HOSTILE_TEXTS, topic_texts
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder

sentence_transformers = pytest.importorskip("sentence_transformers")

TEXTS = [*HOSTILE_TEXTS.values(), *topic_texts(40, 300)]


def embed_with_reference(model: SmallModel, texts: list[str]) -> tuple[np.ndarray, int]:
    """Return sentence-transformers' vectors of unit length, and the length of the model in tokens."""
    encoder = sentence_transformers.SentenceTransformer(str(model.directory), device="cpu", local_files_only=True)
    vectors = encoder.encode(texts, normalize_embeddings=True, batch_size=1, convert_to_numpy=True)
    return vectors.astype(np.float32), encoder.max_seq_length


def cased(model: SmallModel) -> None:
    """Make the tokenizer keep upper case, which the vocabulary does not know."""
    content = json.loads((model.directory / "tokenizer.json").read_text(encoding="utf-8"))
    content["normalizer"]["lowercase"] = False
    model.write_json("tokenizer.json", content)
    model.update_json("tokenizer_config.json", do_lower_case=False)


def cased_but_lowercased_first(model: SmallModel) -> None:
    cased(model)
    model.update_json("sentence_bert_config.json", do_lower_case=True)


def length_from_the_tokenizer(model: SmallModel) -> None:
    model.write_json("sentence_bert_config.json", {})
    model.update_json("tokenizer_config.json", model_max_length=37)


def no_length_anywhere(model: SmallModel) -> None:
    model.write_json("sentence_bert_config.json", {})
    model.update_json("tokenizer_config.json", model_max_length=10**30)


def half_precision(model: SmallModel) -> None:
    weights = load_file(model.directory / "model.safetensors")
    model.save_weights({name: array.astype(np.float16) for name, array in weights.items()})


def named_as_a_part_of_bert(model: SmallModel) -> None:
    weights = load_file(model.directory / "model.safetensors")
    pooler = {"pooler.dense.weight": np.ones((32, 32), np.float32), "pooler.dense.bias": np.ones(32, np.float32)}
    model.save_weights({f"bert.{name}": array for name, array in (weights | pooler).items()})


VARIANTS: dict[str, tuple[dict[str, Any], Callable[[SmallModel], None]]] = {
    "plain": ({}, lambda model: None),
    "cls": ({}, lambda model: model.pooling(pooling_mode_cls_token=True)),
    "short": ({}, lambda model: model.write_json("sentence_bert_config.json", {"max_seq_length": 9})),
    "long": ({}, lambda model: model.write_json("sentence_bert_config.json", {"max_seq_length": 128})),
    "relu": ({"hidden_act": "relu"}, lambda model: None),
    "gelu_new": ({"hidden_act": "gelu_new"}, lambda model: None),
    "gelu_pytorch_tanh": ({"hidden_act": "gelu_pytorch_tanh"}, lambda model: None),
    "epsilon": ({"layer_norm_eps": 0.1}, lambda model: None),
    "one head": ({"num_attention_heads": 1}, lambda model: None),
    "no normalize": ({}, lambda model: model.modules("Transformer", "Pooling")),
    "cased": ({}, cased),
    "do_lower_case": ({}, cased_but_lowercased_first),
    "length from the tokenizer": ({}, length_from_the_tokenizer),
    "no length anywhere": ({}, no_length_anywhere),
    "float16 weights": ({}, half_precision),
    "bert prefix": ({}, named_as_a_part_of_bert),
}


# The torch engine runs sentence-transformers' own modules, so only what this library adds to them is tried there.
WITH_TORCH = ("plain", "cls", "no normalize", "do_lower_case", "float16 weights")


@pytest.mark.parametrize(
    ("variant", "backend"), [*((name, "openvino") for name in VARIANTS), *((name, "torch") for name in WITH_TORCH)]
)
def test_vectors_are_the_references(small_model: SmallModel, variant: str, backend: str) -> None:
    config, change = VARIANTS[variant]
    small_model.write(seed=7, **config)
    change(small_model)
    embedder = MiniLMEmbedder(small_model.directory, backend=backend, device="cpu", on_truncate="ignore")
    vectors = embedder.encode(TEXTS)
    if variant == "float16 weights":
        weights = load_file(small_model.directory / "model.safetensors")
        small_model.save_weights({name: array.astype(np.float32) for name, array in weights.items()})
    expected, length = embed_with_reference(small_model, TEXTS)
    assert embedder.max_seq_length == length
    assert vectors.shape == (len(TEXTS), 32)
    assert np.abs(vectors - expected).max() <= 1e-5


def test_the_variants_are_different_models(small_model: SmallModel) -> None:
    """The test above can fail: each variant that changes the numbers gives other vectors than the plain model."""
    texts = [*[text for text in TEXTS if len(text) > 200][:8], "Upper Case Words"]
    plain = MiniLMEmbedder(small_model.write(seed=7), on_truncate="ignore").encode(texts)
    for variant in ("cls", "short", "long", "relu", "gelu_new", "epsilon", "one head", "cased"):
        config, change = VARIANTS[variant]
        other = SmallModel(small_model.directory.with_name(variant), small_model._standard)
        other.write(seed=7, **config)
        change(other)
        vectors = MiniLMEmbedder(other.directory, on_truncate="ignore").encode(texts)
        assert np.abs(vectors - plain).max() > 3e-5, variant


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_unnormalised_vectors_are_the_references_before_normalisation(small_model: SmallModel, backend: str) -> None:
    small_model.write(seed=3)
    small_model.modules("Transformer", "Pooling")
    encoder = sentence_transformers.SentenceTransformer(str(small_model.directory), device="cpu", local_files_only=True)
    expected = encoder.encode(TEXTS[-20:], batch_size=1)
    vectors = MiniLMEmbedder(
        small_model.directory, backend=backend, device="cpu", normalize=False, on_truncate="ignore"
    ).encode(TEXTS[-20:])
    assert np.linalg.norm(expected, axis=1).min() > 1.5, "these vectors are not of unit length by chance"
    assert np.abs(vectors - expected).max() <= 1e-5 * np.abs(expected).max()
