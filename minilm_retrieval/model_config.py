"""What a model directory says about itself: architecture, pooling, length.

A directory in the sentence-transformers layout is read exactly, or refused with the name of what this library cannot
do faithfully. Nothing is assumed: a wrong pooling or activation gives vectors that look fine and find nothing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from minilm_retrieval.errors import ModelIntegrityError, UnsupportedModelError

_Json = TypeVar("_Json", dict[str, Any], list[Any])

_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
# The least that holds a text: [CLS], one token, [SEP].
MIN_LENGTH = 3
# More than any model has; a damaged number must not become an array of that size.
_MOST = 1 << 24
_MOST_LAYERS = 1000
_POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls"}


@dataclass(frozen=True)
class ModelConfig:
    """Everything besides weights and vocabulary that decides a vector."""

    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    vocab_size: int
    max_positions: int
    layer_norm_eps: float
    activation: str
    pooling: str
    max_seq_length: int
    lowercase: bool


def read_config(directory: Path) -> ModelConfig:
    """Read a sentence-transformers directory of the BERT architecture.

    Args:
        directory: Holds ``config.json``, ``modules.json`` and the pooling module's own ``config.json``.

    Raises:
        ModelIntegrityError: A file is not JSON.
        OSError: A file cannot be read.
        UnsupportedModelError: A file is missing, gives something else than a usable number, or names an architecture,
            module, activation, position embedding or pooling that this library does not run.
    """
    config = _read_json(directory, "config.json")
    transformer, pooling = _module_paths(directory)
    settings = optional_json(directory, f"{transformer}sentence_bert_config.json")
    _require(config, "model_type", {"bert"}, directory, "is a model of type")
    _require(config, "position_embedding_type", {None, "absolute"}, directory, "uses position embeddings of type")
    _require(config, "hidden_act", set(_ACTIVATIONS), directory, "uses the activation")
    _require(config, "is_decoder", {None, False}, directory, "sets is_decoder to")
    file = directory / "config.json"
    max_positions = _whole(config, "max_position_embeddings", file, least=MIN_LENGTH)
    found = ModelConfig(
        hidden_size=_whole(config, "hidden_size", file),
        layers=_whole(config, "num_hidden_layers", file, least=0, most=_MOST_LAYERS),
        heads=_whole(config, "num_attention_heads", file),
        intermediate_size=_whole(config, "intermediate_size", file),
        vocab_size=_whole(config, "vocab_size", file),
        max_positions=max_positions,
        layer_norm_eps=_epsilon(config, file),
        activation=_ACTIVATIONS[config["hidden_act"]],
        pooling=_pooling_mode(directory, pooling),
        max_seq_length=_own_length(directory, settings, max_positions),
        lowercase=bool(settings.get("do_lower_case", False)),
    )
    if found.hidden_size % found.heads:
        raise UnsupportedModelError(
            f"{directory} has num_attention_heads {found.heads}, which does not divide hidden_size {found.hidden_size}."
        )
    return found


def optional_json(directory: Path, name: str) -> dict[str, Any]:
    """Return the content of a file that need not be there, nothing if it is not.

    Raises:
        As :func:`read_config`.
    """
    return _read_json(directory, name) if (directory / name).exists() else {}


def _module_paths(directory: Path) -> tuple[str, str]:
    """Return the relative paths of the transformer and pooling modules, having refused all others."""
    modules = [module if isinstance(module, dict) else {} for module in _parsed(directory, "modules.json", list)]
    types = [str(module.get("type", "")) for module in modules]
    kinds = [kind.rsplit(".", 1)[-1] if kind.startswith("sentence_transformers.") else kind for kind in types]
    if kinds not in (["Transformer", "Pooling", "Normalize"], ["Transformer", "Pooling"]):
        raise UnsupportedModelError(
            f"{directory / 'modules.json'} lists the modules {kinds}; "
            "this library runs Transformer, Pooling and, optionally, Normalize, in that order."
        )
    transformer, pooling = (str(module.get("path", "")) for module in modules[:2])
    if transformer:
        raise UnsupportedModelError(
            f"{directory / 'modules.json'} keeps its transformer in the folder {transformer!r}; "
            "this library expects the weights beside modules.json."
        )
    return transformer, pooling


def _pooling_mode(directory: Path, module: str) -> str:
    file = f"{module}/config.json"
    config = _read_json(directory, file)
    mode = config.get("pooling_mode")
    modes = list(mode) if isinstance(mode, list) else [mode] if mode else []
    modes += [key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on]
    if len(modes) != 1 or modes[0] not in list(_POOLINGS):
        raise UnsupportedModelError(
            f"{directory / file} asks for the pooling {modes}; this library offers mean or cls."
        )
    return _POOLINGS[modes[0]]


def _own_length(directory: Path, settings: dict[str, Any], max_positions: int) -> int:
    """Return the model's own maximum length in tokens, found where sentence-transformers looks for it."""
    key, file = "max_seq_length", "sentence_bert_config.json"
    if settings.get(key) is None:
        key, file = "model_max_length", "tokenizer_config.json"
        settings = optional_json(directory, file)
        if settings.get(key) in (None, math.inf):
            return max_positions
    return min(_whole(settings, key, directory / file, least=MIN_LENGTH, most=None), max_positions)


def _require(config: dict[str, Any], key: str, offered: set[Any], directory: Path, phrase: str) -> None:
    value = config.get(key)
    if value not in list(offered):
        names = ", ".join(sorted(str(name) for name in offered if name is not None))
        raise UnsupportedModelError(f"{directory} {phrase} {value!r} (config.json); this library runs: {names}.")


def _whole(settings: dict[str, Any], key: str, file: Path, *, least: int = 1, most: int | None = _MOST) -> int:
    value: Any = settings.get(key)
    whole = type(value) is int or (isinstance(value, float) and value.is_integer())
    if not whole or value < least or (most is not None and value > most):
        bounds = f"from {least} to {most}" if most is not None else f"from {least} on"
        raise UnsupportedModelError(f"{file} gives {key} as {value!r}, expected a whole number {bounds}.")
    return int(value)


def _epsilon(config: dict[str, Any], file: Path) -> float:
    value = config.get("layer_norm_eps", 1e-12)
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise UnsupportedModelError(f"{file} gives layer_norm_eps as {value!r}, expected a small positive number.")
    return float(value)


def _read_json(directory: Path, name: str) -> dict[str, Any]:
    return _parsed(directory, name, dict)


def _parsed(directory: Path, name: str, kind: type[_Json]) -> _Json:
    try:
        content = json.loads((directory / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnsupportedModelError(
            f"{directory} has no {name}. A model directory is one that sentence-transformers wrote "
            "(SentenceTransformer.save_pretrained) or a copy of a model repository."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ModelIntegrityError(
            f"{directory / name} cannot be read as JSON: {error}. Copy the model again."
        ) from error
    if not isinstance(content, kind):
        raise UnsupportedModelError(f"{directory / name} holds a {type(content).__name__}, expected a {kind.__name__}.")
    return content
