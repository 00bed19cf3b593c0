"""A model's weights, read from its safetensors file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from minilm_retrieval.errors import ModelIntegrityError, UnsupportedModelError
from minilm_retrieval.model_config import ModelConfig

Weights = dict[str, npt.NDArray[np.float32]]


def read_weights(file: Path, config: ModelConfig) -> Weights:
    """Read an encoder's weights as float32 arrays under their names in BERT, without a ``bert.`` prefix.

    Raises:
        ModelIntegrityError: The file is truncated, or not a safetensors file.
        UnsupportedModelError: A tensor is missing, or has a shape or type that the configuration does not give.
        OSError: The file cannot be read.
    """
    with _opened(file) as tensors:
        stored = set(tensors.keys())
        prefix = "bert." if "bert.embeddings.word_embeddings.weight" in stored else ""
        weights = {}
        for name, shape in tensor_shapes(config).items():
            if prefix + name not in stored:
                raise UnsupportedModelError(f"{file} lacks the tensor {name}, which config.json asks for.")
            described = tensors.get_slice(prefix + name)
            _check_tensor(name, tuple(described.get_shape()), described.get_dtype(), shape)
            weights[name] = np.asarray(tensors.get_tensor(prefix + name), dtype=np.float32)
        return weights


def check_complete(file: Path) -> None:
    """Make sure that the file is as long as it says itself, without reading a tensor; it raises as the above."""
    with _opened(file):
        pass


def weights_digest(weights: Weights) -> str:
    """Return the SHA-256 over names, shapes and float32 values, the same however the file was written."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name}{weights[name].shape}".encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor of the encoder."""
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab_size, hidden),
        "embeddings.position_embeddings.weight": (config.max_positions, hidden),
        "embeddings.token_type_embeddings.weight": (0, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}."
        matrices = {
            "attention.self.query": (hidden, hidden),
            "attention.self.key": (hidden, hidden),
            "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (inner, hidden),
            "output.dense": (hidden, inner),
        }
        for name, shape in matrices.items():
            shapes[f"{block}{name}.weight"] = shape
            shapes[f"{block}{name}.bias"] = shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{block}{name}.weight"] = (hidden,)
            shapes[f"{block}{name}.bias"] = (hidden,)
    return shapes


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="numpy") as tensors:
            yield tensors
    except SafetensorError as error:
        raise ModelIntegrityError(f"{file} is not a complete safetensors file: {error}. Copy it again.") from error


def _check_tensor(name: str, shape: tuple[int, ...], kind: str, expected: tuple[int, ...]) -> None:
    # The number of token types is not in the configuration read here; only the first row is ever used.
    matches = len(shape) == len(expected) and all(
        size == wanted if wanted else size > 0 for wanted, size in zip(expected, shape, strict=True)
    )
    if not matches or kind not in ("F32", "F16"):
        sizes = ", ".join(str(size) if size else "1 or more" for size in expected)
        raise UnsupportedModelError(
            f"The tensor {name} has shape {shape} and type {kind}; expected ({sizes}) in F32 or F16, "
            "from the configuration."
        )
