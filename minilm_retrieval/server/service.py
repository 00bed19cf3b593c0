"""Texts of one request to vectors: count, cut, check limits, and let the batcher compute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.pipeline import Pipeline
from minilm_retrieval.server.batcher import Batcher, StoppingError
from minilm_retrieval.server.failures import RequestError
from minilm_retrieval.server.metrics import Metrics
from minilm_retrieval.server.options import ServerOptions
from minilm_retrieval.server.threads import in_thread
from minilm_retrieval.tokenizer import Tokens
from minilm_retrieval.truncation import TruncationLog

T = TypeVar("T")

# Shorter texts are tokenised at once, faster than a thread could be asked to.
_INLINE_CHARACTERS = 4096
_TURN_CHARACTERS = 65_536
_NAMED_POSITIONS = 100
_REMEDY = "send truncate: true to /embed, or start the server with --on-truncate warn"


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
        self._starting: asyncio.Future[None] | None = None
        self._loaded: tuple[Pipeline, Batcher] | None = None
        # Requests that wait for the tokenizer.
        self._arriving = 0
        self._tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="minilm-tokenize")

    async def start(self) -> None:
        """Load and warm up the model, once, whoever asks.

        Raises:
            MiniLMError: The model cannot be loaded, or not computed with here.
        """
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        # One that no longer waits does not stop it for the others.
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        await in_thread(self.embedder.warmup)
        pipeline = self.embedder.pipeline()
        batcher = Batcher(pipeline, self._metrics, self._options.max_queue, self._options.max_queue_texts)
        self._metrics.watch(batcher)
        self._loaded = (pipeline, batcher)
        self.ready.set()

    async def stop(self) -> None:
        """Finish what was accepted."""
        self.ready.clear()
        if self._starting is not None:
            self._starting.cancel()
        if self._loaded is not None:
            await in_thread(self._loaded[1].stop)
        self._tokenizing.shutdown()

    def check_room(self) -> None:
        """Refuse a request before its body is even read, while the queue is full.

        Raises:
            QueueFullError: Too much waits already.
        """
        if self._loaded is not None:
            self._loaded[1].check_room(self._arriving)

    async def embed(self, texts: Sequence[str], on_truncate: str | None = None, keep_end: bool = False) -> Embedded:
        """Embed the texts of a request, in batches shared with others.

        Args:
            texts: At most as many as the options allow.
            on_truncate: ``"warn"``, ``"ignore"`` or ``"error"``; ``None`` for what the options say.
            keep_end: Cut the beginning of over-long texts rather than the end.

        Raises:
            RequestError: The request is over a limit.
            TextTooLongError: A text is too long and ``on_truncate`` is ``"error"``.
            QueueFullError: Too much waits already.
            EngineError: The engine failed on these texts.
            StoppingError: The server is being stopped.
        """
        self.check_number(len(texts))
        pipeline, _ = await self._parts()
        # Before any work is done for a request that will be refused.
        self.check_room()
        distinct = list(dict.fromkeys(texts))
        if sum(map(len, distinct)) <= _INLINE_CHARACTERS:
            tokens = _tokenize(pipeline, distinct, keep_end)
        else:
            tokens = await self._tokenized(pipeline, distinct, keep_end)
        row = {text: number for number, text in enumerate(distinct)}
        return await self._embedded(tokens, [row[text] for text in texts], on_truncate)

    async def embed_ids(
        self, sequences: Sequence[Sequence[int]], on_truncate: str | None = None, keep_end: bool = False
    ) -> Embedded:
        """Do as :meth:`embed` does, for the model's own token ids, special tokens included.

        Raises:
            RequestError: Also where a sequence is empty, or an id is not in the vocabulary.
        """
        self.check_number(len(sequences))
        pipeline, _ = await self._parts()
        size = pipeline.tokenizer.vocabulary_size
        for position, ids in enumerate(sequences):
            if not ids or not 0 <= min(ids) <= max(ids) < size:
                raise RequestError(
                    400, f"The token ids at position {position} must be one or more, each below {size}.", param="input"
                )
        tokens = [Tokens.cut(ids, pipeline.max_length, keep_end) for ids in sequences]
        return await self._embedded(tokens, list(range(len(tokens))), on_truncate)

    async def _tokenized(self, pipeline: Pipeline, texts: list[str], keep_end: bool) -> list[Tokens]:
        """Tokenise in a thread, in turns with other requests; one whose client has gone ends with its turn."""
        tokens: list[Tokens] = []
        self._arriving += 1
        try:
            while len(tokens) < len(texts):
                end, characters = len(tokens), 0
                while end < len(texts) and characters < _TURN_CHARACTERS:
                    characters += len(texts[end])
                    end += 1
                tokens += await self.while_tokenizing(partial(_tokenize, pipeline, texts[len(tokens) : end], keep_end))
        finally:
            self._arriving -= 1
        return tokens

    async def while_tokenizing(self, work: Callable[[], T]) -> T:
        """Have work with the tokenizer done in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, work)

    async def _embedded(self, tokens: list[Tokens], rows: list[int], on_truncate: str | None) -> Embedded:
        """Embed what was tokenised; the nth text of the request is the one of the nth row."""
        _, batcher = await self._parts()
        total = sum(len(tokens[row].ids) for row in rows)
        self.check_tokens(total)
        truncated = [position for position, row in enumerate(rows) if tokens[row].truncated]
        log = TruncationLog(on_truncate or self._options.on_truncate)
        for position in truncated:
            log.add([position], tokens[rows[position]].untruncated_length)
        log.check(self.embedder.max_seq_length, _REMEDY)
        vectors = await batcher.embed([token.ids for token in tokens])
        self._metrics.embedded(len(rows), total, len(truncated))
        return Embedded(vectors if len(tokens) == len(rows) else vectors[rows], total, truncated, log.policy)

    def check_number(self, texts: int) -> None:
        """Refuse a request of more texts than are taken at once."""
        _check_limit(texts, self._options.max_texts, "texts", "max_texts")

    def check_tokens(self, tokens: int) -> None:
        """Refuse a request of more tokens than are taken at once."""
        _check_limit(tokens, self._options.max_tokens, "tokens", "max_tokens")

    async def _parts(self) -> tuple[Pipeline, Batcher]:
        """Return what computes, once the model is loaded."""
        await self.start()
        if self._loaded is None:
            raise StoppingError("The server is being stopped.")
        return self._loaded


def _check_limit(count: int, limit: int, unit: str, option: str) -> None:
    if count > limit:
        raise RequestError(
            400,
            f"The request has {count} {unit}; at most {limit} are taken at once ({option}). "
            "Send its texts in several requests.",
            param="input",
        )


def _tokenize(pipeline: Pipeline, texts: list[str], keep_end: bool) -> list[Tokens]:
    return [pipeline.tokenizer.tokenize(text, pipeline.max_length, keep_end) for text in texts]
