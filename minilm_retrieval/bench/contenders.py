"""What ``minilm bench`` measures: this engine's precisions, and other embedders of the same model.

Each is made in a process of its own. This module imports nothing of this library, so that a rival's process does not
carry it.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAKER = f"{__name__}:make"

_TORCH = "sentence-transformers"
_CHROMA = "Chroma's default function"


@dataclass(frozen=True)
class Contender:
    """An embedder in a worker.

    Attributes:
        embed: Embeds a list of texts.
        embed_query: Embeds one.
    """

    embed: Callable[[list[str]], Any]
    embed_query: Callable[[str], Any]


def contenders() -> dict[str, str | None]:
    """Return the names of all contenders, each with the reason why it cannot be measured, or ``None``."""
    from minilm_retrieval.engines.openvino import has_bfloat16
    from minilm_retrieval.options import PRECISIONS

    own = dict.fromkeys(PRECISIONS)
    reasons: dict[str, str | None] = {**own, _TORCH: _missing("sentence_transformers"), _CHROMA: _chroma_missing()}
    if not has_bfloat16():
        reasons["bfloat16"] = "this processor has no instructions for it"
    return reasons


def make(name: str, threads: str, model: str) -> Contender:
    """Make a contender, in its own process.

    Args:
        name: A key of :func:`contenders`.
        threads: How many it may use.
        model: The model's directory.
    """
    if name == _TORCH:
        return _sentence_transformers(int(threads), model)
    if name == _CHROMA:
        return _chroma(int(threads))
    return _own(name, int(threads), model)


def _own(precision: str, threads: int, model: str) -> Contender:
    from minilm_retrieval.embedder import MiniLMEmbedder
    from minilm_retrieval.errors import PrecisionWarning

    # A precision that falls back to float32 has no figures of its own.
    warnings.simplefilter("error", PrecisionWarning)
    embedder = MiniLMEmbedder(model, precision=precision, threads=threads, on_truncate="ignore")
    embedder.warmup()
    return Contender(embedder.encode, embedder.encode)


def _sentence_transformers(threads: int, model: str) -> Contender:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    encoder = SentenceTransformer(model, device="cpu", local_files_only=True)
    return Contender(encoder.encode, encoder.encode)


def _chroma(threads: int) -> Contender:
    limit_onnxruntime(threads)
    from chromadb.utils.embedding_functions import DefaultEmbeddingFunction

    function: Any = DefaultEmbeddingFunction()
    return Contender(function, lambda query: function([query]))


def limit_onnxruntime(threads: int) -> None:
    """Make onnxruntime's default the thread budget.

    Left alone it starts a thread on every core of the machine and pins it there, whatever the process may use.
    """
    import onnxruntime

    class SessionOptions(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.intra_op_num_threads = threads

    onnxruntime.SessionOptions = SessionOptions


def _missing(module: str) -> str | None:
    return None if importlib.util.find_spec(module) else "not installed"


def _chroma_missing() -> str | None:
    if _missing("chromadb"):
        return "not installed"
    from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2 as Function

    model = Path(Function.DOWNLOAD_PATH) / Function.EXTRACTED_FOLDER_NAME / "model.onnx"
    return None if model.is_file() else f"its model is not at {model}"
