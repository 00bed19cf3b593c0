"""Files that nobody would write: each is refused with an error of this library that names it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import UnsupportedModelError
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


@pytest.mark.parametrize(
    "settings",
    [
        {"prompts": ["query: "], "default_prompt_name": "query"},
        {"prompts": "query: ", "default_prompt_name": "query"},
        {"prompts": {"query": "query: "}, "default_prompt_name": ["query"]},
        {"prompts": {}, "default_prompt_name": {"query": ""}},
    ],
)
def test_prompts_of_another_form_are_refused(small_model: SmallModel, settings: dict[str, Any]) -> None:
    directory = small_model.write()
    small_model.write_json("config_sentence_transformers.json", settings)
    with pytest.raises(UnsupportedModelError, match=r"config_sentence_transformers\.json gives default_prompt_name"):
        read_config(directory)
