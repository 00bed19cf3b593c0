"""Whether ``tokenizer.json`` says what transformers makes of it by the settings in ``tokenizer_config.json``.

For tokenizers of BERT, transformers takes only the vocabulary from ``tokenizer.json`` and builds the rest from those
settings, or from defaults where there are none. This library reads ``tokenizer.json`` alone, so the two have to agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minilm_retrieval.errors import UnsupportedModelError
from minilm_retrieval.model_config import optional_json
from minilm_retrieval.model_files import TOKENIZER
from minilm_retrieval.tokenizer import Tokenizer

# As written by transformers, with "Fast" behind them or without. Others are built from tokenizer.json as it is.
_OF_BERT = tuple(
    f"{name}Tokenizer{kind}"
    for name in ("Bert", "DistilBert", "Electra", "MobileBert", "SqueezeBert", "ConvBert", "LayoutLM", "Lxmert")
    for kind in ("", "Fast")
)
_DEFAULT = "BertTokenizer"
_FILE = "tokenizer_config.json"


def check_tokenizer_config(directory: Path, tokenizer: Tokenizer, lowercase: bool) -> None:
    """Make sure that sentence-transformers gives texts the same ids.

    Args:
        directory: The model's.
        tokenizer: Of its ``tokenizer.json``.
        lowercase: Whether ``sentence_bert_config.json`` asks for lower case first.

    Raises:
        UnsupportedModelError: The files contradict each other; the message names each setting with both values. Or
            long texts are to be cut in front.
        ModelIntegrityError: A file is not JSON.
    """
    settings = optional_json(directory, _FILE)
    side = settings.get("truncation_side", tokenizer.truncation_side)
    if side != "right":
        raise UnsupportedModelError(
            f"{directory} cuts long texts at the side {side!r} (truncation_side of {_FILE}, or the direction in "
            f"{TOKENIZER}); this library cuts their end. To have that, set truncation_side to 'right' in {_FILE}."
        )
    if "added_tokens_decoder" not in settings:
        settings |= optional_json(directory, "special_tokens_map.json")
    kind = settings.get("tokenizer_class") or optional_json(directory, "config.json").get("tokenizer_class") or _DEFAULT
    if kind not in _OF_BERT:
        return
    found, built = _found(tokenizer, lowercase), _built(settings)
    contradictions = [
        f"{name} is {found[name]!r} in tokenizer.json, there {built[name]!r}"
        for name in built
        if found[name] != built[name]
    ]
    if contradictions:
        raise UnsupportedModelError(
            f"{directory / TOKENIZER} contradicts what sentence-transformers builds from tokenizer_config.json, or by "
            f"default, for the tokenizer_class {kind}: {'; '.join(contradictions)}. Save the model again with "
            "SentenceTransformer.save_pretrained, which writes both alike; or, if tokenizer.json is right, set "
            "tokenizer_class to PreTrainedTokenizerFast in tokenizer_config.json."
        )


def _built(settings: dict[str, Any]) -> dict[str, Any]:
    lowercase = settings.get("do_lower_case", True)
    return {
        "clean_text": True,
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
        "strip_accents": _either(settings.get("strip_accents"), lowercase),
        "lowercase": lowercase,
        "pre_tokenizer": "BertPreTokenizer",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "cls_token": _token(settings, "cls_token", "[CLS]"),
        "sep_token": _token(settings, "sep_token", "[SEP]"),
    }


def _found(tokenizer: Tokenizer, lowercase: bool) -> dict[str, Any]:
    settings = tokenizer.settings()
    normalizer = _only_step(settings["normalizer"], lowercase)
    first, last = tokenizer.pieces("")
    return {
        "clean_text": normalizer.get("clean_text"),
        "handle_chinese_chars": normalizer.get("handle_chinese_chars"),
        "strip_accents": _either(normalizer.get("strip_accents"), normalizer.get("lowercase")),
        "lowercase": normalizer.get("lowercase"),
        "pre_tokenizer": settings["pre_tokenizer"].get("type"),
        "continuing_subword_prefix": settings["continuing_subword_prefix"],
        "max_input_chars_per_word": settings["max_input_chars_per_word"],
        "cls_token": first.text,
        "sep_token": last.text,
    }


def _token(settings: dict[str, Any], name: str, default: str) -> Any:
    """Return a special token, which may be written with more about it."""
    token = settings.get(name, default)
    return token.get("content") if isinstance(token, dict) else token


def _either(strip_accents: Any, lowercase: Any) -> Any:
    """Accents are stripped with upper case unless it is said otherwise."""
    return lowercase if strip_accents is None else strip_accents


def _only_step(normalizer: dict[str, Any], lowercase: bool) -> dict[str, Any]:
    """Return BERT's normalizer if there is no other step; nothing otherwise."""
    steps = normalizer.get("normalizers", [normalizer])
    # sentence-transformers writes this step where it was asked for, and puts it there again when it reads the model.
    if lowercase and len(steps) == 2 and steps[0].get("type") == "Lowercase":
        steps = steps[1:]
    return steps[0] if len(steps) == 1 and steps[0].get("type") == "BertNormalizer" else {}
