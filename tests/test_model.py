"""Weights, digests and the fingerprint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import ModelIntegrityError, UnsupportedModelError
from minilm_retrieval.model import STANDARD_WEIGHTS_DIGEST, load_model, standard_fingerprint
from minilm_retrieval.tokenizer import STANDARD_TOKENIZER_DIGEST, content_digest
from minilm_retrieval.weights import tensor_shapes, weights_digest
from minilm_retrieval.word_ids import splits_at_spaces

FINGERPRINT = "2d3ebe26d5a3c425d2a0ad7ce2c62869"  # stored in users' collections: a change makes them all unreadable


def test_the_pinned_digests_are_those_of_the_published_files(standard_directory: Path) -> None:
    model = load_model()
    assert model.files.directory == standard_directory
    assert weights_digest(model.weights()) == STANDARD_WEIGHTS_DIGEST
    content = (standard_directory / "tokenizer.json").read_text(encoding="utf-8")
    assert content_digest(content) == model.tokenizer.digest() == STANDARD_TOKENIZER_DIGEST
    assert splits_at_spaces(content)


def test_the_published_fingerprint_never_changes(standard_directory: Path) -> None:
    assert standard_fingerprint() == FINGERPRINT
    assert MiniLMEmbedder().fingerprint == FINGERPRINT
    assert MiniLMEmbedder("all-MiniLM-L6-v2", max_seq_length=256, threads=1).fingerprint == FINGERPRINT
    assert MiniLMEmbedder(standard_directory).fingerprint == FINGERPRINT
    assert MiniLMEmbedder(backend="torch", device="cpu").fingerprint == FINGERPRINT


def test_options_that_decide_a_vector_change_the_fingerprint(standard_directory: Path) -> None:
    prints = {
        MiniLMEmbedder(max_seq_length=length, normalize=normalize).fingerprint
        for length in (128, 256, 512)
        for normalize in (True, False)
    }
    assert len(prints) == 6
    assert MiniLMEmbedder(max_seq_length=128, normalize=False).fingerprint == standard_fingerprint(128, False)


def test_a_copy_written_by_sentence_transformers_has_the_same_fingerprint(reference: Any, tmp_path: Path) -> None:
    reference.save_pretrained(str(tmp_path / "copy"))
    copied, original = (tmp_path / "copy/model.safetensors").read_bytes(), load_model().files.directory
    assert copied != (original / "model.safetensors").read_bytes(), "the copy is to be written in another way"
    embedder = MiniLMEmbedder(tmp_path / "copy")
    assert embedder.max_seq_length == 256
    assert embedder.fingerprint == FINGERPRINT


def one_weight(model: SmallModel) -> None:
    weights = load_file(model.directory / "model.safetensors")
    weights["encoder.layer.1.output.dense.bias"][3] += np.float32(1e-6)
    model.save_weights(weights)


def one_word(model: SmallModel) -> None:
    content = json.loads((model.directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["hello"], vocabulary["world"] = vocabulary["world"], vocabulary["hello"]
    model.write_json("tokenizer.json", content)


CHANGES: dict[str, Callable[[SmallModel], None]] = {
    "weight": one_weight,
    "vocabulary": one_word,
    "pooling": lambda model: model.pooling(pooling_mode_cls_token=True),
    "length": lambda model: model.write_json("sentence_bert_config.json", {"max_seq_length": 63}),
    "lower case": lambda model: model.update_json("sentence_bert_config.json", do_lower_case=True),
    "activation": lambda model: model.update_json("config.json", hidden_act="relu"),
    "epsilon": lambda model: model.update_json("config.json", layer_norm_eps=1e-6),
    "heads": lambda model: model.update_json("config.json", num_attention_heads=2),
}


def copied(model: SmallModel, name: str) -> SmallModel:
    copy = SmallModel(model.directory.with_name(name), model._standard)
    copy.write()
    return copy


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_a_vector_changes_the_fingerprint(small_model: SmallModel, change: str) -> None:
    original = MiniLMEmbedder(small_model.write()).fingerprint
    other = copied(small_model, "other")
    assert MiniLMEmbedder(copied(small_model, "same").directory).fingerprint == original
    CHANGES[change](other)
    assert MiniLMEmbedder(other.directory).fingerprint != original


def test_formatting_truncation_and_padding_of_the_files_do_not(small_model: SmallModel) -> None:
    original = MiniLMEmbedder(small_model.write()).fingerprint
    other = copied(small_model, "other")
    content = json.loads((other.directory / "tokenizer.json").read_text(encoding="utf-8"))
    content |= {"truncation": None, "padding": None}
    (other.directory / "tokenizer.json").write_text(json.dumps(content, indent=3), encoding="utf-8")
    weights = load_file(other.directory / "model.safetensors")
    pooler = {"pooler.dense.weight": np.ones((32, 32), np.float32), "pooler.dense.bias": np.ones(32, np.float32)}
    other.save_weights({f"bert.{name}": array for name, array in (weights | pooler).items()})
    other.modules("Transformer", "Pooling", prefix="sentence_transformers.base.modules.whatever.")
    other.pooling(pooling_mode="mean", embedding_dimension=32)
    other.update_json("config.json", transformers_version="9.9", hidden_dropout_prob=0.5)
    assert MiniLMEmbedder(other.directory).fingerprint == original


def test_every_tensor_is_asked_for_and_none_may_be_missing(small_model: SmallModel) -> None:
    directory = small_model.write()
    stored = load_file(directory / "model.safetensors")
    names = tensor_shapes(load_model(directory).config)
    assert set(names) == set(stored)
    for number, name in enumerate(names):
        other = copied(small_model, f"without-{number}")
        other.save_weights({key: array for key, array in stored.items() if key != name})
        with pytest.raises(UnsupportedModelError, match=f"lacks the tensor {name}"):
            load_model(other.directory).weights()
        (other.directory / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("embeddings.word_embeddings.weight", (30521, 32)),
        ("embeddings.token_type_embeddings.weight", (2, 16)),
        ("embeddings.position_embeddings.weight", (64, 32)),
        ("encoder.layer.0.intermediate.dense.weight", (32, 64)),
        ("encoder.layer.1.output.dense.bias", (32, 1)),
    ],
)
def test_a_tensor_of_another_shape_is_named(small_model: SmallModel, name: str, shape: tuple[int, ...]) -> None:
    directory = small_model.write()
    weights = load_file(directory / "model.safetensors")
    small_model.save_weights(weights | {name: np.zeros(shape, np.float32)})
    with pytest.raises(UnsupportedModelError, match=f"The tensor {name} has shape"):
        MiniLMEmbedder(directory).encode("text")


@pytest.mark.parametrize(("kind", "named"), [("float64", "F64"), ("int8", "I8"), ("bfloat16", "BF16")])
def test_a_tensor_of_another_type_is_named(small_model: SmallModel, kind: str, named: str) -> None:
    directory = small_model.write()
    name = "encoder.layer.0.output.dense.weight"
    if kind == "bfloat16":
        torch = pytest.importorskip("torch")
        from safetensors.torch import load_file as load_tensors
        from safetensors.torch import save_file as save_tensors

        tensors = load_tensors(directory / "model.safetensors")
        save_tensors(tensors | {name: tensors[name].to(torch.bfloat16)}, directory / "model.safetensors")
    else:
        weights = load_file(directory / "model.safetensors")
        small_model.save_weights(weights | {name: weights[name].astype(kind)})
    with pytest.raises(UnsupportedModelError, match=f"The tensor {name} .*{named}"):
        MiniLMEmbedder(directory).encode("text")


@pytest.mark.parametrize("size", [0, 4, 1000, -1])
def test_weights_of_ones_own_cut_short_are_refused(small_model: SmallModel, size: int) -> None:
    directory = small_model.write()
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ModelIntegrityError, match=r"model\.safetensors is not a complete safetensors file"):
        MiniLMEmbedder(directory).encode("text")


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json", '{"model": {"type": "WordPiece"}}'])
def test_a_tokenizer_that_is_none_is_refused(small_model: SmallModel, content: str) -> None:
    directory = small_model.write()
    (directory / "tokenizer.json").write_text(content)
    with pytest.raises(ModelIntegrityError, match=r"tokenizer\.json is not a readable tokenizer"):
        MiniLMEmbedder(directory).encode("text")


def test_no_tokenizer_at_all_is_refused(small_model: SmallModel) -> None:
    directory = small_model.write()
    (directory / "tokenizer.json").unlink()
    with pytest.raises((ModelIntegrityError, UnsupportedModelError), match=r"tokenizer\.json"):
        MiniLMEmbedder(directory).encode("text")


def without_most_words(model: SmallModel, *kept: str) -> None:
    """Leave ids as they are, so that there are far fewer of them than the largest says."""
    content = json.loads((model.directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {word: vocabulary[word] for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", *kept)}
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "[MASK]"]
    model.write_json("tokenizer.json", content)


def written_anew(model: SmallModel) -> None:
    model.write_json("tokenizer.json", json.loads((model.directory / "tokenizer.json").read_text(encoding="utf-8")))


def with_an_added_token(model: SmallModel) -> None:
    content = json.loads((model.directory / "tokenizer.json").read_text(encoding="utf-8"))
    content["added_tokens"].append(content["added_tokens"][0] | {"id": 30522, "content": "[OWN]"})
    model.write_json("tokenizer.json", content)


@pytest.mark.parametrize(
    ("change", "largest"),
    [
        (lambda model: None, 30521),
        (written_anew, 30521),
        (lambda model: without_most_words(model, "hello"), 7592),
        (with_an_added_token, 30522),
    ],
    ids=["published", "written anew", "gaps", "added"],
)
def test_ids_without_an_embedding_are_refused(
    small_model: SmallModel, change: Callable[[SmallModel], None], largest: int
) -> None:
    small_model.write(vocab_size=largest)
    change(small_model)
    with pytest.raises(UnsupportedModelError, match=f"token ids up to {largest}, .* vocab_size {largest}, ") as caught:
        MiniLMEmbedder(small_model.directory).encode("a")
    assert f"resize_token_embeddings({largest + 1})" in str(caught.value)
    other = SmallModel(small_model.directory.with_name("large-enough"), small_model._standard)
    other.write(vocab_size=largest + 1)
    change(other)
    assert MiniLMEmbedder(other.directory).encode("a").shape == (32,)


def test_the_largest_id_of_the_published_tokenizer(standard_directory: Path) -> None:
    tokenizer = load_model().tokenizer
    assert tokenizer.largest_id == max(tokenizer._tokenizer.get_vocab().values()) == tokenizer.vocabulary_size - 1


def test_a_model_is_loaded_once(small_model: SmallModel) -> None:
    directory = small_model.write()
    assert load_model(directory) is load_model(str(directory))
    assert load_model() is load_model(None)
