"""A loaded model: its configuration, tokenizer, weights and fingerprint.

Models are loaded once a process, and again when their files have changed. Weights are read when an engine asks for them
and are not kept here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from minilm_retrieval.errors import ModelIntegrityError, UnsupportedModelError
from minilm_retrieval.model_config import ModelConfig, read_config
from minilm_retrieval.model_files import STANDARD_MODEL, TOKENIZER, WEIGHTS, ModelFiles, find_model
from minilm_retrieval.tokenizer import STANDARD_TOKENIZER_DIGEST, Tokenizer
from minilm_retrieval.tokenizer_config import check_tokenizer_config

Weights = dict[str, npt.NDArray[np.float32]]

STANDARD_CONFIG = ModelConfig(
    hidden_size=384,
    layers=6,
    heads=12,
    intermediate_size=1536,
    vocab_size=30522,
    max_positions=512,
    layer_norm_eps=1e-12,
    activation="gelu",
    pooling="mean",
    max_seq_length=256,
    lowercase=False,
)
STANDARD_WEIGHTS_DIGEST = "ed256719ce5c21937a1e401ef451c171e2a1419a304ea556ac693a9f9d070e19"

_ARCHITECTURE = (
    "hidden_size",
    "layers",
    "heads",
    "intermediate_size",
    "vocab_size",
    "max_positions",
    "layer_norm_eps",
    "activation",
)


_LAYER = re.compile(r"(?:bert\.)?encoder\.layer\.(\d{1,9})\.")


class Model:
    """One model directory, read and checked.

    Raises:
        ModelIntegrityError: The published weights stand beside a tokenizer or an architecture that is not theirs.
        UnsupportedModelError: The tokenizer gives ids that the model has no embedding for, or not those that
            sentence-transformers gives; or see :func:`minilm_retrieval.model_config.read_config`.
    """

    def __init__(self, files: ModelFiles) -> None:
        self.files = files
        self.config = read_config(files.directory)
        self.tokenizer = Tokenizer(files.directory / TOKENIZER, self.config.lowercase)
        self._digest: str | None = None
        if files.standard_weights:
            self._check_companions()
        self._check_vocabulary()
        check_tokenizer_config(files.directory, self.tokenizer, self.config.lowercase)

    def weights(self) -> Weights:
        """Read the encoder's weights as float32 arrays under their names in BERT, without a ``bert.`` prefix.

        Raises:
            ModelIntegrityError: The file is truncated, not a safetensors file, or not the one that was verified.
            UnsupportedModelError: A tensor is missing, has a shape or type that the configuration does not give, or
                belongs to a layer beyond those.
        """
        weights = self._read_weights(self.files.directory / WEIGHTS)
        self.check_unchanged()
        return weights

    def check_unchanged(self) -> None:
        """Make sure that the weights' file is the one that was verified; for engines that read it themselves, too.

        Raises:
            ModelIntegrityError: It was changed or removed since.
        """
        if not self.files.stamp.has_same_weights():
            raise ModelIntegrityError(
                f"{self.files.directory / WEIGHTS} was changed or removed since it was verified. "
                "Make a new MiniLMEmbedder, which reads the model anew."
            )

    def fingerprint(self, max_seq_length: int, normalize: bool) -> str:
        """Return the hexadecimal digest of all that decides a vector, see :func:`fingerprint_of`."""
        return fingerprint_of(
            self._weights_digest,
            self.tokenizer.digest(),
            self.config,
            max_seq_length=max_seq_length,
            normalize=normalize,
        )

    def _read_weights(self, file: Path) -> Weights:
        self.check_unchanged()
        try:
            with safe_open(file, framework="numpy") as tensors:
                stored = set(tensors.keys())
                prefix = "bert." if "bert.embeddings.word_embeddings.weight" in stored else ""
                _refuse_further_layers(file, stored, self.config.layers)
                weights = {}
                for name, shape in tensor_shapes(self.config).items():
                    if prefix + name not in stored:
                        raise UnsupportedModelError(f"{file} lacks the tensor {name}, which config.json asks for.")
                    described = tensors.get_slice(prefix + name)
                    _check_tensor(name, tuple(described.get_shape()), described.get_dtype(), shape)
                    weights[name] = np.asarray(tensors.get_tensor(prefix + name), dtype=np.float32)
                return weights
        except (SafetensorError, OSError) as error:
            raise ModelIntegrityError(f"{file} is not a complete safetensors file: {error}. Copy it again.") from error

    @property
    def _weights_digest(self) -> str:
        if self._digest is None:
            self._digest = STANDARD_WEIGHTS_DIGEST if self.files.standard_weights else weights_digest(self.weights())
        return self._digest

    def _check_companions(self) -> None:
        directory = self.files.directory
        remedy = f"The weights beside it are those of {STANDARD_MODEL}. Copy the model again."
        if self.tokenizer.digest() != STANDARD_TOKENIZER_DIGEST:
            raise ModelIntegrityError(f"{directory / TOKENIZER} is not the tokenizer of {STANDARD_MODEL}. {remedy}")
        for name in _ARCHITECTURE:
            found, expected = getattr(self.config, name), getattr(STANDARD_CONFIG, name)
            if found != expected:
                raise ModelIntegrityError(
                    f"{directory / 'config.json'} gives {name} as {found!r}, expected {expected!r}. {remedy}"
                )

    def _check_vocabulary(self) -> None:
        """Refuse ids that have no embedding: OpenVINO would look them up elsewhere in memory, without an error."""
        largest, size = self.tokenizer.largest_id, self.config.vocab_size
        if largest >= size:
            raise UnsupportedModelError(
                f"{self.files.directory / TOKENIZER} has token ids up to {largest}, but config.json gives vocab_size "
                f"{size}, so that ids from {size} on have no embedding. Save the model together with the tokenizer "
                f"that it was trained with, or give it more embeddings: model.resize_token_embeddings({largest + 1})."
            )


def fingerprint_of(
    weights_digest: str, tokenizer_digest: str, config: ModelConfig, *, max_seq_length: int, normalize: bool
) -> str:
    """Combine what decides a vector into one hexadecimal digest; the engine and its precision are not part of it."""
    deciding = {
        "weights": weights_digest,
        "tokenizer": tokenizer_digest,
        "architecture": {name: getattr(config, name) for name in _ARCHITECTURE},
        "lowercase": config.lowercase,
        "pooling": config.pooling,
        "max_seq_length": max_seq_length,
        "normalize": normalize,
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:32]


def standard_fingerprint(max_seq_length: int = 256, normalize: bool = True) -> str:
    """Return the fingerprint of all-MiniLM-L6-v2 without reading a file."""
    return fingerprint_of(
        STANDARD_WEIGHTS_DIGEST,
        STANDARD_TOKENIZER_DIGEST,
        STANDARD_CONFIG,
        max_seq_length=max_seq_length,
        normalize=normalize,
    )


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


def _refuse_further_layers(file: Path, stored: set[str], layers: int) -> None:
    numbers = {int(found[1]) for name in stored if (found := _LAYER.match(name))}
    further = numbers - set(range(layers))
    if further:
        raise UnsupportedModelError(
            f"{file} has tensors of {len(numbers)} layers, but config.json gives num_hidden_layers {layers}. "
            "Correct that, or save the model with fewer layers."
        )


_models: dict[tuple[str, str], Model] = {}
_lock = threading.Lock()


def load_model(model: str | os.PathLike[str] | None = None) -> Model:
    """Find, verify and read a model, once a process and again when its files have changed.

    The same object means the same files. See :func:`minilm_retrieval.model_files.find_model`.
    """
    name = "" if model is None else os.fspath(model)
    key = (name, str(Path(name).resolve()) if name else "")
    with _lock:
        loaded = _models.get(key)
        if loaded is None or not loaded.files.stamp.is_current():
            loaded = _models[key] = Model(find_model(model))
        return loaded


def _reset_after_fork() -> None:
    """The lock may have been held by a thread that does not exist in the child."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
