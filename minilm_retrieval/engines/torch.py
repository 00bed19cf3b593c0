"""The engine for GPUs, and the reference on the processor: sentence-transformers on torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minilm_retrieval.batching import Batch
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import EngineError, MissingExtraError
from minilm_retrieval.model import Model


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
        EngineError: torch has no such device.
    """

    def __init__(self, model: Model, device: str, precision: str, threads: int | None, normalize: bool) -> None:
        try:
            import torch
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", "torch") from error
        self._torch = torch
        self._normalize = normalize
        if threads is not None:
            torch.set_num_threads(threads)
        device = _best_device(torch) if device == "auto" else device
        try:
            self._device = torch.device(device)
            encoder = SentenceTransformer(
                str(model.files.directory),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except (RuntimeError, AssertionError) as error:
            raise EngineError(f"torch cannot use the device {device!r}: {error}") from error
        # Weights stored as float16 are computed with in float32, as by the other engine.
        encoder.to({"float32": torch.float32, "bfloat16": torch.bfloat16}[precision])
        self._transformer, self._pooling = encoder[0], encoder[1]

    def embed(self, batches: Iterable[Batch]) -> Iterator[FloatArray]:
        """See :class:`minilm_retrieval.engines.engine.Engine`."""
        for batch in batches:
            yield self._run(batch)

    def _run(self, batch: Batch) -> FloatArray:
        torch = self._torch
        try:
            with torch.inference_mode():
                ids = torch.from_numpy(batch.input_ids.astype(np.int64)).to(self._device)
                mask = torch.from_numpy(batch.attention_mask.astype(np.int64)).to(self._device)
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
                return np.asarray(vectors.cpu().numpy(), dtype=np.float32)
        except RuntimeError as error:
            raise EngineError(f"torch failed on {self._device}: {error}") from error


def _best_device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
