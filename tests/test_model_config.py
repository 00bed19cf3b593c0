"""What is read from a model directory, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import ModelIntegrityError, UnsupportedModelError
from minilm_retrieval.model import STANDARD_CONFIG
from minilm_retrieval.model_config import ModelConfig, read_config


def test_the_published_model(standard_directory: Path) -> None:
    assert read_config(standard_directory) == STANDARD_CONFIG
    assert (STANDARD_CONFIG.hidden_size, STANDARD_CONFIG.max_seq_length, STANDARD_CONFIG.pooling) == (384, 256, "mean")


def test_every_value_is_the_directorys_own(small_model: SmallModel) -> None:
    directory = small_model.write(layer_norm_eps=1e-5, hidden_act="relu", max_position_embeddings=96)
    small_model.write_json("sentence_bert_config.json", {"max_seq_length": 50, "do_lower_case": True})
    small_model.pooling(pooling_mode_cls_token=True)
    assert read_config(directory) == ModelConfig(
        hidden_size=32,
        layers=2,
        heads=4,
        intermediate_size=64,
        vocab_size=30522,
        max_positions=96,
        layer_norm_eps=1e-5,
        activation="relu",
        pooling="cls",
        max_seq_length=50,
        lowercase=True,
    )


@pytest.mark.parametrize(
    ("settings", "tokenizer_length", "expected"),
    [
        ({"max_seq_length": 40}, 100, 40),
        ({"max_seq_length": 500}, 100, 128),
        ({}, 100, 100),
        ({"max_seq_length": None}, 100, 100),
        ({}, 10**30, 128),
        ({}, None, 128),
    ],
)
def test_the_length_is_found_where_sentence_transformers_looks(
    small_model: SmallModel, settings: dict[str, Any], tokenizer_length: int | None, expected: int
) -> None:
    directory = small_model.write()
    small_model.write_json("sentence_bert_config.json", settings)
    small_model.update_json("tokenizer_config.json", model_max_length=tokenizer_length)
    assert read_config(directory).max_seq_length == expected


@pytest.mark.parametrize("length", [0, -1, 1, 2])
def test_a_length_without_room_for_a_token_is_refused(small_model: SmallModel, length: int) -> None:
    small_model.write()
    small_model.write_json("sentence_bert_config.json", {"max_seq_length": length})
    with pytest.raises(UnsupportedModelError, match="length"):
        MiniLMEmbedder(small_model.directory).encode("some words of text")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
    ],
)
def test_pooling_in_the_old_and_the_new_words(small_model: SmallModel, mode: dict[str, Any], expected: str) -> None:
    directory = small_model.write()
    small_model.pooling(**mode)
    assert read_config(directory).pooling == expected


@pytest.mark.parametrize(
    ("mode", "named"),
    [
        ({"pooling_mode_max_tokens": True}, "max_tokens"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean_tokens"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len_tokens"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        ({"pooling_mode": "max"}, "max"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
        ({"pooling_mode": "some_new_mode"}, "some_new_mode"),
        ({"pooling_mode": ["mean", "cls"]}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "cls_token"),
        ({"pooling_mode_mean_tokens": False}, r"\[\]"),
        ({}, r"\[\]"),
    ],
)
def test_other_poolings_are_refused_by_name(small_model: SmallModel, mode: dict[str, Any], named: str) -> None:
    directory = small_model.write()
    small_model.pooling(**mode)
    with pytest.raises(UnsupportedModelError, match=rf"1_Pooling/config\.json asks for the pooling .*{named}"):
        read_config(directory)


@pytest.mark.parametrize(
    "kind", ["mpnet", "roberta", "distilbert", "xlm-roberta", "bert-generation", "modernbert", None]
)
def test_other_architectures_are_refused_by_name(small_model: SmallModel, kind: str | None) -> None:
    directory = small_model.write(model_type=kind)
    with pytest.raises(UnsupportedModelError, match=rf"is a model of type {kind!r} .*this library runs: bert"):
        read_config(directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "silu"}, "uses the activation 'silu'"),
        ({"hidden_act": None}, "uses the activation None"),
        ({"position_embedding_type": "relative_key"}, "uses position embeddings of type 'relative_key'"),
        ({"is_decoder": True}, "sets is_decoder to True"),
    ],
)
def test_other_settings_of_bert_are_refused_by_name(
    small_model: SmallModel, change: dict[str, Any], message: str
) -> None:
    directory = small_model.write(**change)
    with pytest.raises(UnsupportedModelError, match=message):
        read_config(directory)


@pytest.mark.parametrize(
    "modules",
    [
        ("Transformer", "Pooling", "Dense"),
        ("Transformer", "Pooling", "Dense", "Normalize"),
        ("Transformer", "WeightedLayerPooling", "Pooling"),
        ("Transformer", "Normalize", "Pooling"),
        ("Transformer", "CNN", "Pooling", "Normalize"),
        ("StaticEmbedding",),
        ("Transformer",),
        (),
    ],
)
def test_other_modules_are_refused_by_name(small_model: SmallModel, modules: tuple[str, ...]) -> None:
    directory = small_model.write()
    small_model.modules(*modules)
    with pytest.raises(UnsupportedModelError, match=r"modules\.json lists the modules") as caught:
        read_config(directory)
    assert str(list(modules)) in str(caught.value)


@pytest.mark.parametrize("prefix", ["custom_st.", "modeling.my_", "somebody/code--modeling."])
def test_modules_of_the_models_own_code_are_refused(small_model: SmallModel, prefix: str) -> None:
    directory = small_model.write()
    small_model.modules("Transformer", "Pooling", prefix=prefix)
    with pytest.raises(UnsupportedModelError, match=r"modules\.json"):
        read_config(directory)


@pytest.mark.parametrize("name", ["config.json", "modules.json", "1_Pooling/config.json"])
def test_a_missing_file_is_named(small_model: SmallModel, name: str) -> None:
    directory = small_model.write()
    (directory / name).unlink()
    with pytest.raises(UnsupportedModelError, match=f"has no {name}"):
        read_config(directory)


@pytest.mark.parametrize("name", ["config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"])
@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", ModelIntegrityError),
        ("{", ModelIntegrityError),
        ("[" * 200_000, ModelIntegrityError),
        ("[1, 2]", UnsupportedModelError),
        ("null", UnsupportedModelError),
    ],
)
def test_a_file_of_another_form_is_named(
    small_model: SmallModel, name: str, content: str, error: type[Exception]
) -> None:
    directory = small_model.write()
    (directory / name).write_text(content)
    with pytest.raises(error, match=name):
        read_config(directory)


@pytest.mark.parametrize("heads", [5, 0, -4])
def test_heads_that_do_not_divide_the_vector_are_refused(small_model: SmallModel, heads: int) -> None:
    directory = small_model.write(num_attention_heads=heads)
    with pytest.raises(UnsupportedModelError, match="heads"):
        MiniLMEmbedder(directory).encode("text")


def test_a_transformer_in_a_folder_of_its_own_is_refused(small_model: SmallModel) -> None:
    directory = small_model.write()
    kinds = {"0_Transformer": "Transformer", "1_Pooling": "Pooling"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    small_model.write_json("modules.json", modules)
    with pytest.raises(UnsupportedModelError, match="keeps its transformer in the folder '0_Transformer'"):
        read_config(directory)
