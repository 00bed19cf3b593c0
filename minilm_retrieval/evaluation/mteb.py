"""The embedder as a model of MTEB, so that its tasks can be run with this engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from minilm_retrieval import __version__
from minilm_retrieval.embedder import DEFAULTS, MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidTextError, MissingExtraError
from minilm_retrieval.model_files import STANDARD_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mteb.models import ModelMeta

_ORGANIZATION = "minilm-retrieval"
_DIGITS = 12


class MiniLMEncoder:
    """An encoder as ``mteb.evaluate(MiniLMEncoder(), tasks=[...])`` takes it; see mteb's ``EncoderProtocol``.

    Texts that are longer than the model reads are cut without a warning, as every model's are in MTEB. The model has no
    prompts: kinds of tasks and prompts change nothing.

    Args:
        embedder: What computes the vectors; ``None`` for all-MiniLM-L6-v2 with its defaults.

    Raises:
        MissingExtraError: mteb is not installed.
    """

    def __init__(self, embedder: MiniLMEmbedder | None = None) -> None:
        try:
            import mteb  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("mteb", "mteb") from error
        self._embedder = (MiniLMEmbedder() if embedder is None else embedder).quietly()
        self._meta: ModelMeta | None = None

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any = None,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> FloatArray:
        """Embed the texts of a data loader.

        Args:
            inputs: Batches, each with a list of texts under ``"text"``.
            task_metadata: Of no influence, as are the following ones.
            hf_split: Likewise.
            hf_subset: Likewise.
            prompt_type: Likewise.
            **kwargs: ``show_progress_bar=True`` shows a bar on standard error; others are of no influence.

        Returns:
            Shape ``(n, 384)``, float32, of unit length.

        Raises:
            InvalidTextError: A batch has no texts, but pictures or sounds.
            As :meth:`minilm_retrieval.MiniLMEmbedder.encode`.
        """
        texts: list[str] = []
        for batch in inputs:
            if "text" not in batch:
                raise InvalidTextError(f"Expected batches with 'text', got one with {', '.join(map(repr, batch))}.")
            texts.extend(batch["text"])
        return self._embedder.encode(texts, show_progress=bool(kwargs.get("show_progress_bar", False)))

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosine similarities of all rows with all rows, a torch tensor of shape ``(n, m)``."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosine similarity of each row with the row beside it, a torch tensor of shape ``(n,)``."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """What MTEB files results under: this library's name for the model and its precision, not the model's own.

        So results of another implementation, which MTEB may have in its cache, are not taken for this one's.
        """
        if self._meta is None:
            self._meta = _meta(self._embedder)
        return self._meta


def _meta(embedder: MiniLMEmbedder) -> ModelMeta:
    import mteb
    from mteb.models import ModelMeta
    from mteb.models.model_meta import ScoringFunction

    # Of the published model MTEB knows more, such as which data it was trained on.
    known = mteb.get_model_meta(STANDARD_MODEL) if embedder.is_standard else ModelMeta.create_empty()
    base = STANDARD_MODEL.split("/")[1] if embedder.is_standard else Path(str(embedder.model_name)).name
    exact = embedder.precision == DEFAULTS["precision"]
    return known.model_copy(
        update={
            "loader": None,
            "name": f"{_ORGANIZATION}/{base}" + ("" if exact else f"-{embedder.precision}"),
            "revision": f"{__version__}-{embedder.fingerprint[:_DIGITS]}",
            "languages": known.languages or ["eng-Latn"],
            "max_tokens": embedder.max_seq_length,
            "embed_dim": embedder.dimension,
            "similarity_fn_name": ScoringFunction.COSINE,
            "framework": ["OpenVINO"] if embedder.backend == "openvino" else ["Sentence Transformers", "PyTorch"],
            "modalities": ["text"],
            "use_instructions": False,
            "adapted_from": STANDARD_MODEL if embedder.is_standard else embedder.model_name,
        }
    )
