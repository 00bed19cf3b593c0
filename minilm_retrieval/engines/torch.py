"""The engine for GPUs, and the reference on the processor: sentence-transformers on torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minilm_retrieval.batching import Batch
from minilm_retrieval.engines.engine import CPU_TOKENS, FloatArray
from minilm_retrieval.engines.self_check import SelfCheck
from minilm_retrieval.errors import EngineError, MiniLMError, MissingExtraError, PrecisionWarning
from minilm_retrieval.model import Model
from minilm_retrieval.tokenizer import IntArray

_GPU_TOKENS = 32_768


class TorchEngine:
    """Runs a model with sentence-transformers' own modules.

    Args:
        model: The loaded model.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` for a GPU if there is one.
        precision: Of the encoder, ``"float32"`` or ``"bfloat16"``; pooling is done in float32.
        threads: Sets torch's thread number, which is one for the whole process; ``None`` leaves it alone.
        normalize: Whether vectors get unit length.

    Raises:
        MissingExtraError: sentence-transformers or torch is not installed.
        EngineError: torch has no such device, cannot run so many threads, or a file that sentence-transformers reads is
            damaged.
    """

    def __init__(self, model: Model, device: str, precision: str, threads: int | None, normalize: bool) -> None:
        try:
            import sentence_transformers
            import torch
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", "torch") from error
        self._torch, self._library = torch, sentence_transformers
        self._normalize = normalize
        if threads is not None:
            _set_threads(torch, threads)
        device = _best_device(torch) if device == "auto" else device
        try:
            self._device = torch.device(device)
            self.token_budget = CPU_TOKENS if self._device.type == "cpu" else _GPU_TOKENS
            self._load(model, precision)
        except MiniLMError:
            raise
        except (RuntimeError, AssertionError) as error:
            raise EngineError(f"torch cannot use the device {device!r}: {error}") from error
        except Exception as error:
            # It reads files that this library does not, such as added_tokens.json.
            raise EngineError(
                f"sentence-transformers cannot load {model.files.directory}: {type(error).__name__}: {error} "
                "Copy the model again, or use backend='openvino'."
            ) from error

    def embed(self, batches: Iterable[Batch], beside_others: bool = False) -> Iterator[FloatArray]:
        """See :class:`minilm_retrieval.engines.engine.Engine`."""
        # One batch runs ahead, so that a GPU computes it while the caller prepares the next.
        running: Any = None
        for batch in batches:
            started = self._start(batch)
            if running is not None:
                yield self._finish(running)
            running = started
        if running is not None:
            yield self._finish(running)

    def _load(self, model: Model, precision: str) -> None:
        """Load the encoder, or in its place the one in float32 if that of another precision computes wrongly."""
        torch = self._torch
        encoder = self._library.SentenceTransformer(
            str(model.files.directory),
            device=str(self._device),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
        model.check_unchanged()
        # Weights stored as float16 are computed with in float32, as by the other engine.
        encoder.to({"float32": torch.float32, "bfloat16": torch.bfloat16}[precision])
        self._transformer, self._pooling = encoder[0], encoder[1]
        device = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else self._device.type
        check = SelfCheck(model, precision, f"torch {torch.__version__} on {device}")
        if check.passes(self.embed, lambda: TorchEngine(model, str(self._device), "float32", None, True).embed):
            return
        if precision == "float32":
            raise EngineError(f"{check.failure()} Use backend='openvino', which runs on the processor.")
        warnings.warn(f"{check.failure()} Going on in float32.", PrecisionWarning, stacklevel=2)
        self._load(model, "float32")

    def _on_device(self, array: IntArray) -> Any:
        tensor = self._torch.from_numpy(array.astype(np.int64))
        if self._device.type != "cuda":
            return tensor.to(self._device)
        # From pinned memory the transfer does not wait for what the GPU is doing.
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _start(self, batch: Batch) -> Any:
        """Return the batch's vectors on the device, which may not be computed yet."""
        torch = self._torch
        try:
            with torch.inference_mode():
                ids, mask = self._on_device(batch.input_ids), self._on_device(batch.attention_mask)
                features: dict[str, Any] = {
                    "input_ids": ids,
                    "attention_mask": mask,
                    "token_type_ids": torch.zeros_like(ids),
                }
                features = self._transformer(features)
                features["token_embeddings"] = features["token_embeddings"].float()
                vectors = self._pooling(features)["sentence_embedding"]
                if self._normalize:
                    vectors = torch.nn.functional.normalize(vectors, dim=1)
                return vectors
        except (RuntimeError, IndexError) as error:
            raise EngineError(f"torch failed on {self._device}: {error}") from error

    def _finish(self, vectors: Any) -> FloatArray:
        """Wait for a batch's vectors."""
        try:
            return np.asarray(vectors.cpu().numpy(), dtype=np.float32)
        except RuntimeError as error:
            raise EngineError(f"torch failed on {self._device}: {error}") from error


def _set_threads(torch: Any, threads: int) -> None:
    try:
        torch.set_num_threads(threads)
    except (RuntimeError, ValueError) as error:
        raise EngineError(f"torch cannot run {threads} threads: {error}. Give fewer.") from error


def _best_device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
