"""Checks of the embedder's options: what is offered, and what fits together."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.model_config import MIN_LENGTH
from minilm_retrieval.model_files import STANDARD_MODEL, is_standard_name
from minilm_retrieval.readable import is_directory
from minilm_retrieval.whole_numbers import at_least

BACKENDS = ("auto", "openvino", "torch")
PRECISIONS = ("float32", "bfloat16", "int8")

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


def absolute_model(model: str | os.PathLike[str] | None) -> str | None:
    """Return a directory as an absolute path, so that it means the same after ``chdir``; ``None`` for all-MiniLM-L6-v2.

    Raises:
        InvalidOptionError: Neither a name nor a path.
    """
    if model is not None and not (isinstance(model, (str, os.PathLike)) and os.fspath(model)):
        raise InvalidOptionError(f"model must be a hub id or a directory, got {model!r}.")
    if model is None or is_standard_name(model):
        return None
    path = os.fspath(model)
    return os.path.realpath(path) if is_directory(path) else path


def model_name(model: str | os.PathLike[str] | None) -> str:
    """Return the full name of what is asked for: a hub id, or the absolute path of a directory."""
    return absolute_model(model) or STANDARD_MODEL


def choose_engine(backend: str, device: str | None, precision: str) -> tuple[str, str]:
    """Return the engine's backend and device for those asked for; ``"auto"`` for whichever device torch finds."""
    one_of("backend", backend, BACKENDS)
    one_of("precision", precision, PRECISIONS)
    if device is not None and not (isinstance(device, str) and _DEVICE.fullmatch(device)):
        raise InvalidOptionError(f"device={device!r} is not one of 'cpu', 'cuda', 'cuda:N', 'mps'.")
    on_gpu = device not in (None, "cpu")
    if backend == "torch" or (backend == "auto" and on_gpu):
        if precision == "int8":
            raise InvalidOptionError(
                "precision='int8' is for backend='openvino'; torch offers 'float32' and 'bfloat16'."
            )
        return "torch", device or "auto"
    if on_gpu:
        raise InvalidOptionError(
            f"backend='openvino' runs on the processor; for device={device!r} use backend='torch'."
        )
    return "openvino", "cpu"


def one_of(name: str, value: str, offered: Sequence[str]) -> str:
    """Return the value of an option, having made sure that it is offered."""
    if value not in offered:
        listed = ", ".join(repr(choice) for choice in offered)
        raise InvalidOptionError(f"{name}={value!r} is not offered; expected one of {listed}.")
    return value


def checked_length(value: int | None) -> int | None:
    """Return a maximum length in tokens, having made sure that it holds a text."""
    return None if value is None else at_least("max_seq_length", value, MIN_LENGTH)


def checked_flag(name: str, value: bool) -> bool:
    """Return a yes or no, having made sure that it is one: what decides vectors is recorded with collections."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidOptionError(f"{name} must be True or False, got {value!r}.")
    return bool(value)
