"""Files that nobody would write: each is refused with an error of this library that names it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.batching import single_batch
from minilm_retrieval.errors import EngineError, UnsupportedModelError
from minilm_retrieval.model import load_model
from minilm_retrieval.model_config import read_config

NUMBERS = (
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
)


@pytest.mark.parametrize("key", [*NUMBERS, "layer_norm_eps"])
@pytest.mark.parametrize("value", [None, "many", "3", [3], {}, -1, 1 << 40, 10**400, math.inf, -math.inf, math.nan])
def test_an_unusable_value_is_named(small_model: SmallModel, key: str, value: object) -> None:
    directory = small_model.write()
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    small_model.write_json("config.json", config | {key: value})
    with pytest.raises(UnsupportedModelError, match=rf"config\.json gives {key} as .*, expected a"):
        MiniLMEmbedder(directory).encode([])


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [0, True, 3.5])
def test_what_is_no_number_of_anything_is_named(small_model: SmallModel, key: str, value: object) -> None:
    directory = small_model.write()
    small_model.update_json("config.json", **{key: value})
    if (key, value) == ("num_hidden_layers", 0):
        assert read_config(directory).layers == 0
        return
    with pytest.raises(UnsupportedModelError, match=rf"config\.json gives {key} as {value}, expected a whole number"):
        read_config(directory)


@pytest.mark.parametrize("key", ["model_type", "hidden_act", "position_embedding_type", "is_decoder"])
@pytest.mark.parametrize("value", [["bert"], {"gelu": 1}])
def test_a_name_that_is_none_is_refused(small_model: SmallModel, key: str, value: object) -> None:
    directory = small_model.write()
    small_model.update_json("config.json", **{key: value})
    with pytest.raises(UnsupportedModelError, match=re.escape(repr(value))):
        read_config(directory)


@pytest.mark.parametrize("value", [math.inf, math.nan, "64", [64], True, 9.5])
def test_a_length_that_is_none_is_refused(small_model: SmallModel, value: object) -> None:
    directory = small_model.write()
    small_model.write_json("sentence_bert_config.json", {"max_seq_length": value})
    with pytest.raises(UnsupportedModelError, match=r"sentence_bert_config\.json gives max_seq_length as"):
        read_config(directory)
    small_model.write_json("sentence_bert_config.json", {})
    small_model.update_json("tokenizer_config.json", model_max_length=value)
    if value == math.inf:
        assert read_config(directory).max_seq_length == 128
        return
    with pytest.raises(UnsupportedModelError, match=r"tokenizer_config\.json gives model_max_length as"):
        read_config(directory)


@pytest.mark.parametrize("mode", [5, {"mean": True}, [["mean"]], [{"mean": True}], True])
def test_a_pooling_without_a_name_is_refused(small_model: SmallModel, mode: object) -> None:
    directory = small_model.write()
    small_model.pooling(pooling_mode=mode)
    with pytest.raises(UnsupportedModelError, match=r"1_Pooling/config\.json asks for the pooling"):
        read_config(directory)


def test_no_token_type_at_all_is_refused(small_model: SmallModel) -> None:
    directory = small_model.write()
    weights = load_file(directory / "model.safetensors")
    name = "embeddings.token_type_embeddings.weight"
    small_model.save_weights(weights | {name: np.zeros((0, 32), np.float32)})
    with pytest.raises(UnsupportedModelError, match=rf"{name} has shape \(0, 32\) .* expected \(1 or more, 32\)"):
        MiniLMEmbedder(directory).encode("text")


Settings = dict[str, Any]


def no_unknown(content: Settings) -> None:
    del content["model"]["vocab"]["[UNK]"]


def no_words(content: Settings) -> None:
    content["model"]["vocab"] = {}
    content["added_tokens"] = []


def whole_words_only(content: Settings) -> None:
    content["model"] = {"type": "WordLevel", "vocab": {"a": 5, "[CLS]": 101, "[SEP]": 102}, "unk_token": "[UNK]"}


@pytest.mark.parametrize("change", [no_unknown, no_words, whole_words_only])
def test_a_tokenizer_that_fails_at_some_texts_is_refused(
    small_model: SmallModel, change: Callable[[Settings], None]
) -> None:
    rewrite_tokenizer(small_model, change)
    with pytest.raises(UnsupportedModelError, match=r"tokenizer\.json cannot tokenise every text: .*\[UNK\]"):
        MiniLMEmbedder(small_model.directory).encode("a")


def large_id(content: Settings) -> None:
    content["model"]["vocab"]["zebra"] = 1 << 31


def large_id_of_the_probe(content: Settings) -> None:
    content["model"]["vocab"]["a"] = 1 << 31


def large_special_id(content: Settings) -> None:
    content["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [1 << 31]


@pytest.mark.parametrize("change", [large_id, large_id_of_the_probe, large_special_id])
def test_ids_that_no_array_holds_are_refused(small_model: SmallModel, change: Callable[[Settings], None]) -> None:
    rewrite_tokenizer(small_model, change)
    with pytest.raises(UnsupportedModelError, match=r"tokenizer\.json has token ids up to 2147483648; an id must fit"):
        MiniLMEmbedder(small_model.directory).encode("zebra")


def rewrite_tokenizer(model: SmallModel, change: Callable[[Settings], None]) -> None:
    content = json.loads((model.write() / "tokenizer.json").read_text(encoding="utf-8"))
    change(content)
    model.write_json("tokenizer.json", content)


def test_a_file_that_only_sentence_transformers_reads_is_named_with_its_directory(small_model: SmallModel) -> None:
    pytest.importorskip("sentence_transformers")
    directory = small_model.write()
    (directory / "added_tokens.json").write_text("{")
    assert MiniLMEmbedder(directory).encode("text").shape == (32,)
    with pytest.raises(EngineError, match=f"sentence-transformers cannot load {re.escape(str(directory))}: \\w+Error"):
        MiniLMEmbedder(directory, backend="torch", device="cpu").encode("text")


def test_the_models_own_errors_are_not_those_of_the_device(small_model: SmallModel) -> None:
    pytest.importorskip("sentence_transformers")
    directory = small_model.write()
    small_model.update_json("config.json", hidden_act="silu")
    with pytest.raises(UnsupportedModelError, match="activation 'silu'"):
        MiniLMEmbedder(directory, backend="torch", device="cpu").encode("text")


@pytest.mark.parametrize("threads", [1 << 31, 1 << 80])
def test_more_threads_than_torch_can_count(small_model: SmallModel, threads: int) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(EngineError, match=f"torch cannot run {threads} threads"):
        MiniLMEmbedder(small_model.write(), backend="torch", device="cpu", threads=threads).encode("text")


def test_an_id_without_an_embedding_in_torch(small_model: SmallModel) -> None:
    pytest.importorskip("sentence_transformers")
    from minilm_retrieval.engines.torch import TorchEngine

    engine = TorchEngine(load_model(small_model.write()), "cpu", "float32", None, True)
    batch = single_batch(np.array([101, 30522, 102], dtype=np.int32), 64)
    with pytest.raises(EngineError, match="torch failed on cpu"):
        list(engine.embed([batch]))
