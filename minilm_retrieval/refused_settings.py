"""Settings that sentence-transformers follows and this library does not: a model that has one is refused by its name.

Passed over, each would give vectors that look fine and are not the model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minilm_retrieval.errors import UnsupportedModelError
from minilm_retrieval.model_config import optional_json
from minilm_retrieval.model_files import TOKENIZER

_ADAPTER = "adapter_config.json"
_MODEL = "config_sentence_transformers.json"
_TRANSFORMER = "sentence_bert_config.json"
# What is handed to transformers when texts are read or the model is loaded, the latter by its new and its old names.
_ARGUMENTS = (
    "processing_kwargs",
    "model_kwargs",
    "processor_kwargs",
    "config_kwargs",
    "model_args",
    "tokenizer_args",
    "config_args",
)


def refuse_unfollowed_settings(directory: Path) -> None:
    """Make sure that a model's directory asks for nothing that this library leaves undone.

    Raises:
        UnsupportedModelError: It does; the message names the file and the setting.
        ModelIntegrityError: A file is not JSON.
    """
    if (directory / _ADAPTER).exists():
        raise UnsupportedModelError(
            f"{directory / _ADAPTER} makes this an adapter of another model, which this library does not run. Merge it "
            "into that model (merge_and_unload() of peft) and save the result with SentenceTransformer.save_pretrained."
        )
    _refuse_model_settings(directory / _MODEL, optional_json(directory, _MODEL))
    settings = optional_json(directory, _TRANSFORMER)
    for name in _ARGUMENTS:
        if _without_trust(settings.get(name)):
            raise _refusal(directory / _TRANSFORMER, name, settings[name], "loads a model and reads texts without them")
    task = settings.get("transformer_task")
    if task not in (None, "feature-extraction"):
        raise _refusal(directory / _TRANSFORMER, "transformer_task", task, "runs 'feature-extraction' alone")
    if settings.get("tokenizer_name_or_path"):
        name = settings["tokenizer_name_or_path"]
        raise _refusal(directory / _TRANSFORMER, "tokenizer_name_or_path", name, f"reads the {TOKENIZER} beside it")


def _refuse_model_settings(file: Path, settings: dict[str, Any]) -> None:
    if settings.get("truncate_dim") is not None:
        dimensions = settings["truncate_dim"]
        raise _refusal(file, "truncate_dim", dimensions, "gives vectors of all dimensions", "To have those")
    name = settings.get("default_prompt_name")
    prompts = settings.get("prompts") or {}
    if not name:
        return
    if not isinstance(name, str) or not isinstance(prompts, dict):
        raise UnsupportedModelError(
            f"{file} gives default_prompt_name as {name!r} and prompts as a {type(prompts).__name__}; expected a name, "
            "and a dict of texts by name."
        )
    if prompts.get(name):
        raise UnsupportedModelError(
            f"{file.parent} puts the prompt {name!r} before every text ({file.name}); "
            "this library embeds texts as they are."
        )


def _without_trust(arguments: Any) -> Any:
    """Leave out what sentence-transformers does not take from a file either."""
    if not isinstance(arguments, dict):
        return arguments
    return {name: value for name, value in arguments.items() if name != "trust_remote_code"}


def _refusal(
    file: Path, key: str, value: Any, instead: str, wish: str = "If it changes no vector"
) -> UnsupportedModelError:
    """Say which setting is not followed, what this library does, and when it may be taken out."""
    return UnsupportedModelError(f"{file} gives {key} as {value!r}; this library {instead}. {wish}, take it out there.")
