"""Settings that sentence-transformers follows and this library does not: refused by name, and only those."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sample_texts import topic_texts
from small_models import SmallModel

from minilm_retrieval.errors import UnsupportedModelError
from minilm_retrieval.model import load_model

SAVED = "config_sentence_transformers.json"
TRANSFORMER = "sentence_bert_config.json"
TOKENIZER = "tokenizer_config.json"
PREFIX = "Represent this: "
TEXTS = [*topic_texts(6, 400), "Upper Case"]


def add(name: str, **settings: Any) -> Callable[[SmallModel], None]:
    """Return what puts settings into a file of a model, making it where it is not there."""

    def change(model: SmallModel) -> None:
        file = model.directory / name
        content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        model.write_json(name, content | settings)

    return change


def cut_in_front_by_the_tokenizer(model: SmallModel) -> None:
    content = json.loads((model.directory / "tokenizer.json").read_text(encoding="utf-8"))
    content["truncation"] |= {"direction": "Left"}
    model.write_json("tokenizer.json", content)


def cut_behind_whatever_the_tokenizer_says(model: SmallModel) -> None:
    cut_in_front_by_the_tokenizer(model)
    add(TOKENIZER, truncation_side="right")(model)


# Each gives other vectors in sentence-transformers.
FOLLOWED: dict[str, tuple[Callable[[SmallModel], None], str]] = {
    "truncate_dim": (add(SAVED, truncate_dim=16), r"truncate_dim as 16.*all dimensions"),
    "prompt": (add(SAVED, prompts={"query": PREFIX}, default_prompt_name="query"), "the prompt 'query' before every"),
    "truncation_side": (add(TOKENIZER, truncation_side="left"), "cuts long texts at the side 'left'"),
    "direction": (cut_in_front_by_the_tokenizer, "cuts long texts at the side 'left'"),
    "processing": (add(TRANSFORMER, processing_kwargs={"text": {"max_length": 9}}), "processing_kwargs as"),
    "tokenizer_args": (add(TRANSFORMER, tokenizer_args={"do_lower_case": False}), "tokenizer_args as"),
    "processor": (add(TRANSFORMER, processor_kwargs={"do_lower_case": False}), "processor_kwargs as"),
    "model_args": (add(TRANSFORMER, model_args={"dtype": "bfloat16"}), "model_args as"),
    "config_args": (add(TRANSFORMER, config_args={"num_hidden_layers": 1}), "config_args as"),
    "sep_token": (add("special_tokens_map.json", sep_token="[MASK]"), r"sep_token is '\[SEP\]'.*there '\[MASK\]'"),
    "cls_token": (add("special_tokens_map.json", cls_token={"content": "[PAD]"}), "cls_token is"),
}
# What sentence-transformers cannot load without its base model, or runs as another kind of model.
OTHERS: dict[str, tuple[Callable[[SmallModel], None], str]] = {
    "adapter": (add("adapter_config.json", peft_type="LORA"), "adapter_config.json makes this an adapter"),
    "task": (add(TRANSFORMER, transformer_task="fill-mask"), "transformer_task as 'fill-mask'"),
    "other tokenizer": (add(TRANSFORMER, tokenizer_name_or_path="bert-base-cased"), "tokenizer_name_or_path as"),
}
HARMLESS: dict[str, Callable[[SmallModel], None]] = {
    "nothing of them": add(SAVED, truncate_dim=None, prompts={}, similarity_fn_name="cosine"),
    "empty": add(TRANSFORMER, model_args={}, processing_kwargs=None, transformer_task="feature-extraction"),
    "trust in code": add(TRANSFORMER, model_args={"trust_remote_code": True}),
    "the right side": cut_behind_whatever_the_tokenizer_says,
    "prompts by name": add(SAVED, prompts={"query": PREFIX, "document": ""}, default_prompt_name="document"),
    "tokens written out": add("special_tokens_map.json", sep_token={"content": "[SEP]", "lstrip": False}),
}


@pytest.mark.parametrize("case", [*FOLLOWED, *OTHERS])
def test_a_setting_is_refused_by_name(small_model: SmallModel, case: str) -> None:
    change, message = (FOLLOWED | OTHERS)[case]
    directory = small_model.write()
    change(small_model)
    with pytest.raises(UnsupportedModelError, match=message):
        load_model(directory)


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
    small_model.write_json(SAVED, settings)
    with pytest.raises(UnsupportedModelError, match=r"config_sentence_transformers\.json gives default_prompt_name"):
        load_model(directory)


@pytest.mark.parametrize("case", HARMLESS)
def test_what_changes_nothing_is_accepted(small_model: SmallModel, case: str) -> None:
    directory = small_model.write()
    HARMLESS[case](small_model)
    assert load_model(directory).config.hidden_size == 32


@pytest.mark.parametrize("case", FOLLOWED)
def test_the_reference_follows_it(small_model: SmallModel, case: str) -> None:
    """Else there would be no reason to refuse the model."""
    small_model.write()
    plain, found = vectors_of_the_reference(small_model, FOLLOWED[case][0])
    assert found.shape != plain.shape or np.abs(found - plain).max() > 1e-3


@pytest.mark.parametrize("case", HARMLESS)
def test_the_reference_does_nothing_with_it(small_model: SmallModel, case: str) -> None:
    small_model.write()
    plain, found = vectors_of_the_reference(small_model, HARMLESS[case])
    assert np.array_equal(plain, found)


def vectors_of_the_reference(model: SmallModel, change: Callable[[SmallModel], None]) -> tuple[np.ndarray, np.ndarray]:
    """Return sentence-transformers' vectors before a change and after it."""
    library = pytest.importorskip("sentence_transformers")

    def vectors() -> np.ndarray:
        encoder = library.SentenceTransformer(str(model.directory), device="cpu", local_files_only=True)
        return np.asarray(encoder.encode(TEXTS), dtype=np.float32)

    plain = vectors()
    change(model)
    return plain, vectors()
