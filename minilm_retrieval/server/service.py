"""Texts of one request to vectors: count, cut, check limits, and let the batcher compute."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import EngineError
from minilm_retrieval.pipeline import Pipeline
from minilm_retrieval.server.batcher import Batcher
from minilm_retrieval.server.failures import RequestError
from minilm_retrieval.server.metrics import Metrics
from minilm_retrieval.server.options import ServerOptions
from minilm_retrieval.tokenizer import Tokens
from minilm_retrieval.truncation import TruncationLog

# Shorter texts are tokenised at once, faster than a thread could be asked to.
_INLINE_CHARACTERS = 4096
_NAMED_POSITIONS = 100


@dataclass(frozen=True)
class Embedded:
    """The vectors of a request.

    Attributes:
        vectors: Shape ``(n, dimension)``, float32, in the order of the texts.
        tokens: Tokens that the model read, special tokens included.
        truncated: Positions of texts that were cut.
        on_truncate: What the answer says about those.
    """

    vectors: FloatArray
    tokens: int
    truncated: Sequence[int]
    on_truncate: str

    def headers(self) -> dict[str, str]:
        """Return the response headers that say what was cut; none where nothing was, or nobody wants to know."""
        if not self.truncated or self.on_truncate != "warn":
            return {}
        positions = ",".join(map(str, self.truncated[:_NAMED_POSITIONS]))
        more = ",..." if len(self.truncated) > _NAMED_POSITIONS else ""
        return {"x-truncated-texts": str(len(self.truncated)), "x-truncated-positions": positions + more}


class EmbeddingService:
    """One model, shared by all requests.

    Args:
        embedder: Which model, and how it is computed.
        options: The limits.
        metrics: Takes counts and times.
    """

    def __init__(self, embedder: MiniLMEmbedder, options: ServerOptions, metrics: Metrics) -> None:
        self.embedder = embedder
        self.ready = asyncio.Event()
        self._options = options
        self._metrics = metrics
        self._loaded: tuple[Pipeline, Batcher] | None = None
        self._tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="minilm-tokenize")

    async def start(self) -> None:
        """Load and warm up the model."""
        await asyncio.to_thread(self.embedder.warmup)
        pipeline = self.embedder.pipeline()
        batcher = Batcher(pipeline, self._metrics, self._options.max_queue, self._options.max_queue_texts)
        self._metrics.watch(batcher)
        self._loaded = (pipeline, batcher)
        self.ready.set()

    async def stop(self) -> None:
        """Finish what was accepted."""
        self.ready.clear()
        if self._loaded is not None:
            await asyncio.to_thread(self._loaded[1].stop)
        self._tokenizing.shutdown()

    def check_room(self) -> None:
        """Refuse a request before its body is even read, while the queue is full.

        Raises:
            QueueFullError: Too much waits already.
        """
        if self._loaded is not None:
            self._loaded[1].check_room()

    async def embed(self, texts: Sequence[str], on_truncate: str | None = None) -> Embedded:
        """Embed the texts of a request, in batches shared with others.

        Args:
            texts: At most as many as the options allow.
            on_truncate: ``"warn"``, ``"ignore"`` or ``"error"``; ``None`` for what the options say.

        Raises:
            RequestError: The request is over a limit.
            TextTooLongError: A text is too long and ``on_truncate`` is ``"error"``.
            QueueFullError: Too much waits already.
            EngineError: The engine failed on these texts.
        """
        if len(texts) > self._options.max_texts:
            raise RequestError(
                400,
                f"The request has {len(texts)} texts; at most {self._options.max_texts} are taken at once (max_texts). "
                "Send them in several requests.",
                param="input",
            )
        pipeline, batcher = await self._parts()
        # Before any work is done for a request that will be refused.
        batcher.check_room()
        log = TruncationLog(on_truncate or self._options.on_truncate)
        distinct = list(dict.fromkeys(texts))
        if sum(map(len, distinct)) <= _INLINE_CHARACTERS:
            tokens = _tokenize(pipeline, distinct)
        else:
            tokens = await asyncio.get_running_loop().run_in_executor(self._tokenizing, _tokenize, pipeline, distinct)
        of_text = dict(zip(distinct, tokens, strict=True)) if len(distinct) < len(texts) else {}
        all_tokens = [of_text[text] for text in texts] if of_text else tokens
        total = sum(len(token.ids) for token in all_tokens)
        if total > self._options.max_tokens:
            raise RequestError(
                400,
                f"The request has {total} tokens; at most {self._options.max_tokens} are taken at once (max_tokens). "
                "Send its texts in several requests.",
                param="input",
            )
        truncated = [position for position, token in enumerate(all_tokens) if token.truncated]
        for position in truncated:
            log.add([position], all_tokens[position].untruncated_length)
        log.check(self.embedder.max_seq_length)
        vectors = await batcher.embed([token.ids for token in tokens])
        if of_text:
            row = {text: number for number, text in enumerate(distinct)}
            vectors = vectors[[row[text] for text in texts]]
        self._metrics.embedded(len(texts), total, len(truncated))
        return Embedded(vectors, total, truncated, log.policy)

    async def _parts(self) -> tuple[Pipeline, Batcher]:
        """Return what computes, once the model is loaded."""
        await self.ready.wait()
        if self._loaded is None:
            raise EngineError("The server is being stopped.")
        return self._loaded


def _tokenize(pipeline: Pipeline, texts: list[str]) -> list[Tokens]:
    return [pipeline.tokenizer.tokenize(text, pipeline.max_length) for text in texts]
