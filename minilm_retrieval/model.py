"""A loaded model: its configuration, tokenizer, weights and fingerprint.

Models are shared by all who use them, and loaded again when their files have changed. Weights are read when an engine
asks for them and are not kept here.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from minilm_retrieval.errors import ModelIntegrityError, ModelNotFoundError, UnsupportedModelError
from minilm_retrieval.hub_cache import remedy_for
from minilm_retrieval.model_config import ModelConfig, read_config
from minilm_retrieval.model_files import (
    STANDARD_MODEL,
    TOKENIZER,
    WEIGHTS,
    ModelFiles,
    download_again,
    find_model,
    is_on_hub,
)
from minilm_retrieval.readable import reading
from minilm_retrieval.refused_settings import refuse_unfollowed_settings
from minilm_retrieval.tokenizer import STANDARD_TOKENIZER_DIGEST, Tokenizer
from minilm_retrieval.tokenizer_config import check_tokenizer_config
from minilm_retrieval.weights import Weights, check_complete, read_weights, weights_digest

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


class Model:
    """One model directory, read and checked.

    Raises:
        ModelIntegrityError: A file is damaged, or the published weights stand beside a tokenizer or an architecture
            that is not theirs.
        ModelUnreadableError: A file cannot be read.
        UnsupportedModelError: The tokenizer gives ids that the model has no embedding for, or not those that
            sentence-transformers gives; or see :func:`minilm_retrieval.model_config.read_config` and
            :func:`minilm_retrieval.refused_settings.refuse_unfollowed_settings`.
    """

    def __init__(self, files: ModelFiles) -> None:
        self.files = files
        self._digest: str | None = None
        with reading(files.directory):
            self.config = read_config(files.directory)
            refuse_unfollowed_settings(files.directory)
            self.tokenizer = Tokenizer(files.directory / TOKENIZER, self.config.lowercase)
            if files.standard_weights:
                self._check_companions()
            else:
                check_complete(files.directory / WEIGHTS)
            self._check_vocabulary()
            check_tokenizer_config(files.directory, self.tokenizer, self.config.lowercase)

    def weights(self) -> Weights:
        """Read the encoder's weights as float32 arrays under their names in BERT, without a ``bert.`` prefix.

        Raises:
            ModelIntegrityError: The file is truncated, not a safetensors file, or not the one that was verified.
            ModelUnreadableError: The file cannot be read.
            UnsupportedModelError: A tensor is missing, or has a shape or type that the configuration does not give.
        """
        self.check_unchanged()
        file = self.files.directory / WEIGHTS
        with reading(file):
            weights = read_weights(file, self.config)
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


_models: WeakValueDictionary[tuple[str, str], Model] = WeakValueDictionary()
# Kept though nobody uses them: the next embedder would have to verify and read them again.
_recent: deque[Model] = deque(maxlen=4)
_lock = threading.Lock()


def load_model(model: str | os.PathLike[str] | None = None) -> Model:
    """Find, verify and read a model, once while it is in use and again when its files have changed.

    The same object means the same files. The last few stay loaded though nobody uses them. A model of the hub that is
    damaged in the local cache is downloaded again, once. See :func:`minilm_retrieval.model_files.find_model`.
    """
    name = "" if model is None else os.fspath(model)
    key = (name, str(Path(name).absolute()) if name else "")
    with _lock:
        loaded = _models.get(key)
        if loaded is None or not loaded.files.stamp.is_current():
            loaded = _models[key] = _read(model)
        with suppress(ValueError):
            _recent.remove(loaded)
        _recent.append(loaded)
        return loaded


def _read(model: str | os.PathLike[str] | None) -> Model:
    try:
        return Model(find_model(model))
    except ModelIntegrityError as error:
        if model is None or not is_on_hub(model):
            raise
        damage = error
    name = os.fspath(model)
    try:
        return Model(download_again(name))
    except ModelNotFoundError as error:
        raise ModelIntegrityError(f"{damage} {remedy_for(name)}") from error
    except ModelIntegrityError as error:
        raise ModelIntegrityError(f"{error} A new download was no better; check what the hub serves.") from error


def _reset_after_fork() -> None:
    """The lock may have been held by a thread that does not exist in the child."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
