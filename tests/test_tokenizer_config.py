"""A tokenizer.json is loaded where it gives the ids of sentence-transformers, and refused where it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sample_texts import HOSTILE_TEXTS
from small_models import SmallModel

from minilm_retrieval.errors import ModelIntegrityError, UnsupportedModelError
from minilm_retrieval.model import load_model

TEXTS = [*HOSTILE_TEXTS.values(), "Héllo WÖRLD, 日本語 Straße", "control\x01led", "incomprehensibilities don't re-use"]
ABSENT: dict[str, Any] = {}
FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
LOWERCASE_FIRST = {"type": "Lowercase"}


def bert(**changes: Any) -> dict[str, Any]:
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    } | changes


def steps(*normalizers: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(normalizers)}


def write(
    model: SmallModel,
    normalizer: dict[str, Any] | None,
    settings: dict[str, Any],
    *,
    lowercase: bool = False,
    config: dict[str, Any] = ABSENT,
    words: dict[str, Any] = ABSENT,
    **tokenizer: Any,
) -> None:
    model.write(**config)
    content = json.loads((model.directory / "tokenizer.json").read_text(encoding="utf-8"))
    content |= {"normalizer": normalizer, "truncation": None, "padding": None} | tokenizer
    content["model"] |= words
    model.write_json("tokenizer.json", content)
    model.write_json("sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": lowercase})
    if settings is ABSENT:
        (model.directory / "tokenizer_config.json").unlink()
    else:
        model.write_json("tokenizer_config.json", settings)


def assert_same_ids(model: SmallModel, same: bool) -> None:
    library = pytest.importorskip("sentence_transformers")
    reference = library.SentenceTransformer(str(model.directory), device="cpu", local_files_only=True).tokenizer
    tokenizer = load_model(model.directory).tokenizer
    found = [tokenizer.tokenize(text, 64).ids.tolist() for text in TEXTS]
    assert (found == [reference(text, truncation=True, max_length=64)["input_ids"] for text in TEXTS]) == same


AGREEING: dict[str, tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any]]] = {
    "no file": (bert(), ABSENT, {}),
    "no class": (bert(), {"model_max_length": 64}, {}),
    "accents by default": (bert(strip_accents=True), ABSENT, {}),
    "fast": (bert(), {"tokenizer_class": "BertTokenizerFast"}, {}),
    "cased": (bert(lowercase=False), {"do_lower_case": False}, {}),
    "cased without accents": (
        bert(lowercase=False, strip_accents=True),
        {"do_lower_case": False, "strip_accents": True},
        {},
    ),
    "accents": (bert(strip_accents=False), {"strip_accents": False}, {}),
    "Chinese words": (bert(handle_chinese_chars=False), {"tokenize_chinese_chars": False}, {}),
    "one step": (steps(bert()), {}, {}),
    "lowercase first": (bert(lowercase=False), {"do_lower_case": False}, {"lowercase": True}),
    "lowercase first, written": (
        steps(LOWERCASE_FIRST, bert(lowercase=False)),
        {"do_lower_case": False},
        {"lowercase": True},
    ),
    "as it is": (bert(lowercase=False, clean_text=False), FAST, {}),
    "as it is, by config.json": (bert(lowercase=False), ABSENT, {"config": FAST}),
    "a class of one's own": (bert(lowercase=False), {"tokenizer_class": "OwnTokenizer"}, {}),
    "other words as they are": (bert(), FAST, {"pre_tokenizer": {"type": "WhitespaceSplit"}}),
    "no normalizer at all": (None, FAST, {}),
}


@pytest.mark.parametrize("case", AGREEING)
def test_files_that_agree_give_the_references_ids(small_model: SmallModel, case: str) -> None:
    normalizer, settings, others = AGREEING[case]
    write(small_model, normalizer, settings, **others)
    assert_same_ids(small_model, True)


CONTRADICTIONS: dict[str, tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any], str]] = {
    "cased without a file": (bert(lowercase=False), ABSENT, {}, "lowercase is False in tokenizer.json, there True"),
    "cased by default": (bert(lowercase=False), {}, {}, "lowercase is False in tokenizer.json, there True"),
    "uncased": (bert(), {"do_lower_case": False}, {}, "lowercase is True in tokenizer.json, there False"),
    "fast": (bert(), {"do_lower_case": False, "tokenizer_class": "BertTokenizerFast"}, {}, "lowercase is True"),
    "another class": (bert(), {"do_lower_case": False, "tokenizer_class": "DistilBertTokenizer"}, {}, "DistilBert"),
    "class of config.json": (bert(lowercase=False), {}, {"config": {"tokenizer_class": "BertTokenizer"}}, "lowercase"),
    "accents": (bert(), {"strip_accents": False}, {}, "strip_accents is True in tokenizer.json, there False"),
    "accents in tokenizer.json": (bert(strip_accents=False), ABSENT, {}, "strip_accents is False"),
    "Chinese": (bert(), {"tokenize_chinese_chars": False}, {}, "handle_chinese_chars is True"),
    "Chinese in tokenizer.json": (bert(handle_chinese_chars=False), ABSENT, {}, "handle_chinese_chars is False"),
    "control characters": (bert(clean_text=False), {}, {}, "clean_text is False in tokenizer.json, there True"),
    "no normalizer": (None, {}, {}, "lowercase is None in tokenizer.json, there True"),
    "another step": (steps(LOWERCASE_FIRST, bert(lowercase=False)), {"do_lower_case": False}, {}, "lowercase is None"),
    "words": (bert(), {}, {"pre_tokenizer": {"type": "WhitespaceSplit"}}, "pre_tokenizer is 'WhitespaceSplit'"),
    "no words": (bert(), {}, {"pre_tokenizer": None}, "pre_tokenizer is None"),
    "prefix": (bert(), {}, {"words": {"continuing_subword_prefix": "@@"}}, "continuing_subword_prefix is '@@'"),
    "long words": (bert(), {}, {"words": {"max_input_chars_per_word": 5}}, "max_input_chars_per_word is 5"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_files_that_contradict_each_other_are_refused(
    small_model: SmallModel, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    normalizer, settings, others, message = CONTRADICTIONS[case]
    write(small_model, normalizer, settings, **others)
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        load_model(small_model.directory)
    assert "PreTrainedTokenizerFast" in str(caught.value)
    monkeypatch.setattr("minilm_retrieval.model.check_tokenizer_config", lambda *arguments: None)
    assert_same_ids(small_model, False)


@pytest.mark.parametrize("name", ["do_lower_case", "tokenize_chinese_chars"])
def test_what_sentence_transformers_cannot_load_is_refused(small_model: SmallModel, name: str) -> None:
    write(small_model, bert(), {name: None})
    with pytest.raises(UnsupportedModelError, match="there None"):
        load_model(small_model.directory)


def test_the_ways_out_that_are_named(small_model: SmallModel) -> None:
    write(small_model, bert(lowercase=False), {})
    library = pytest.importorskip("sentence_transformers")
    written = SmallModel(small_model.directory.with_name("written"), small_model._standard)
    library.SentenceTransformer(str(small_model.directory), device="cpu").save_pretrained(str(written.directory))
    assert_same_ids(written, True)
    small_model.update_json("tokenizer_config.json", **FAST)
    assert_same_ids(small_model, True)


@pytest.mark.parametrize(("content", "error"), [("{", ModelIntegrityError), ("[]", UnsupportedModelError)])
def test_a_broken_file_is_named(small_model: SmallModel, content: str, error: type[Exception]) -> None:
    small_model.write()
    (small_model.directory / "tokenizer_config.json").write_text(content)
    with pytest.raises(error, match=r"tokenizer_config\.json"):
        load_model(small_model.directory)
