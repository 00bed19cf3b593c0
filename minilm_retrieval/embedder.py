"""The one public way from text to vectors."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from minilm_retrieval.cpu import ENVIRONMENT_VARIABLE, stream_plan, thread_budget
from minilm_retrieval.engines import EngineKey, close_engine, get_engine, load_with_runtime
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import EngineError, InvalidOptionError, InvalidTextError
from minilm_retrieval.model import Model, load_model
from minilm_retrieval.model_config import MIN_LENGTH
from minilm_retrieval.model_files import is_standard_name
from minilm_retrieval.options import absolute_model, checked_flag, checked_length, choose_engine
from minilm_retrieval.pipeline import Pipeline, chunked
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.tokenizer import Tokenizer, check_iterable, check_texts
from minilm_retrieval.truncation import TruncationLog

_WARMUP_TOKENS = 1024
_WARMUP_QUERY_TOKENS = 32


class MiniLMEmbedder:
    """Embeds texts with all-MiniLM-L6-v2: at most 256 tokens, mean pooling, unit length, 384 float32 numbers.

    Nothing is loaded until a vector or a fact about the model is asked for. Embedders with the same options share one
    engine in a process; an embedder may be used by many threads at once, and after ``fork``.

    Args:
        model: ``None`` for all-MiniLM-L6-v2; a directory; or a hub id of the same architecture.
        backend: ``"openvino"``, ``"torch"``, or ``"auto"``: OpenVINO on the processor, torch when ``device`` is a GPU.
        precision: ``"float32"``, which is exact; ``"bfloat16"``: faster where the processor or GPU has instructions
            for it, and an error where a processor has none, with a cosine of 0.9998 or more to float32; or ``"int8"``,
            on the processor: faster still where it has VNNI instructions, with a cosine of 0.997 or more on average.
        device: ``None`` or ``"cpu"`` for the processor, ``"cuda"``, ``"cuda:N"`` or ``"mps"``. With
            ``backend="torch"``, ``None`` takes a GPU if there is one.
        threads: Threads to run on the processor; ``None`` finds out, see :func:`minilm_retrieval.cpu.thread_budget`.
        max_seq_length: Most tokens of a text that are read, [CLS] and [SEP] included; ``None`` for the model's own
            length, which is 256 for all-MiniLM-L6-v2.
        normalize: Give vectors unit length, so that a dot product is the cosine similarity.
        on_truncate: What to do with longer texts: ``"warn"`` once a call, ``"ignore"``, or ``"error"``.

    Raises:
        InvalidOptionError: An option is not one of those offered.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        backend: str = "auto",
        precision: str = "float32",
        device: str | None = None,
        threads: int | None = None,
        max_seq_length: int | None = None,
        normalize: bool = True,
        on_truncate: str = "warn",
    ) -> None:
        self.model_name = absolute_model(model)
        self.backend, self.device = choose_engine(backend, device, precision)
        self.precision = precision
        self.normalize = checked_flag("normalize", normalize)
        self.on_truncate = on_truncate
        self._truncation = TruncationLog.checked(on_truncate)
        self.requested_length = checked_length(max_seq_length)
        self._requested_threads = None if threads is None else thread_budget(threads).threads
        self._closed = False
        # Not cached_property: before Python 3.12 it takes a lock, which a fork may leave locked for ever.
        self._threads: int | None = None
        self._key: EngineKey | None = None
        self._prepared: Pipeline | None = None
        self._loaded: Model | None = None

    @overload
    def encode(self, texts: str, show_progress: bool = False) -> FloatArray: ...

    @overload
    def encode(self, texts: Sequence[str], show_progress: bool = False) -> FloatArray: ...

    def encode(self, texts: str | Sequence[str], show_progress: bool = False) -> FloatArray:
        """Embed a text or a sequence of texts.

        Args:
            texts: One text, or a sequence of texts; identical texts are computed once.
            show_progress: Show a progress bar on standard error.

        Returns:
            Float32, C-contiguous: shape ``(384,)`` for one text, ``(n, 384)`` for n texts, ``(0, 384)`` for none.

        Raises:
            InvalidTextError: Something is not a string; the message names its position and type.
            TextTooLongError: A text is too long and ``on_truncate="error"``.
            ModelNotFoundError, ModelIntegrityError, ModelUnreadableError, UnsupportedModelError: It is not loaded.
            EngineError: The engine failed, the processor lacks the precision, or this embedder was closed.
        """
        vectors, log = self._encode(texts, show_progress)
        log.report(self.max_seq_length)
        return vectors

    async def aencode(self, texts: str | Sequence[str], show_progress: bool = False) -> FloatArray:
        """Do as :meth:`encode` does, in a thread, so that the event loop stays free."""
        # Slow to import, and of no use to a process that has no event loop.
        import asyncio

        vectors, log = await asyncio.to_thread(self._encode, texts, show_progress)
        log.report(self.max_seq_length)
        return vectors

    def encode_stream(self, texts: Iterable[str]) -> Iterator[tuple[list[str], FloatArray]]:
        """Embed any number of texts in bounded memory.

        Args:
            texts: Any iterable; it is read a few chunks ahead of what is yielded at most.

        Yields:
            ``(texts, vectors)`` chunks in order: n texts and an array of shape ``(n, 384)``. Over-long texts are
            reported once, when the stream ends.

        Raises:
            As :meth:`encode`; positions in messages count from the start of the stream.
        """
        if isinstance(texts, (str, bytes)):
            raise InvalidTextError(f"Expected an iterable of texts, got {type(texts).__name__}. For one: encode(text).")
        check_iterable(texts, "an iterable of texts")
        log = self._truncation.new()
        for chunk in self.pipeline().run(chunked(texts), log):
            yield chunk.texts, chunk.vectors()
        log.report(self.max_seq_length)

    def count_tokens(self, texts: str | Sequence[str]) -> list[int]:
        """Count each text's tokens before truncation, special tokens included; for one text, a list of one number."""
        listed = [texts] if isinstance(texts, str) else check_texts(texts)
        return [self._model.tokenizer.count(text) for text in listed]

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, without truncation."""
        return self._model.tokenizer

    @property
    def dimension(self) -> int:
        """How many numbers a vector has: 384 for all-MiniLM-L6-v2."""
        return self._model.config.hidden_size

    @property
    def max_seq_length(self) -> int:
        """Most tokens of a text that are read, special tokens included."""
        if self.requested_length is None:
            return self._model.config.max_seq_length
        if self.requested_length > self._model.config.max_positions:
            raise InvalidOptionError(
                f"max_seq_length={self.requested_length} is more than the {self._model.config.max_positions} positions "
                f"of {self._model.files.name}."
            )
        return self.requested_length

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of weights, tokenizer, pooling, normalisation and length; not of engine or precision."""
        return self._model.fingerprint(self.max_seq_length, self.normalize)

    @property
    def threads(self) -> int:
        """Threads that the engine uses on the processor; torch only where ``threads`` or ``MINILM_THREADS`` says so."""
        if self._threads is None:
            self._threads = thread_budget(self._requested_threads).threads
        return self._threads

    @property
    def is_standard(self) -> bool:
        """Whether this was asked for as all-MiniLM-L6-v2 by name, with no directory or other model; loads nothing."""
        return is_standard_name(self.model_name)

    def model_origin(self) -> str:
        """Say where the model's files were found."""
        return self._model.files.origin

    def warmup(self) -> None:
        """Load and compile everything now, so that the first calls do not wait for it; takes about a second."""
        quiet = self.quietly()
        # A new length costs a few milliseconds once. The longest first: what it needs compiled serves short ones too.
        for length in range(min(_WARMUP_QUERY_TOKENS, self.max_seq_length), MIN_LENGTH - 1, -1):
            quiet.encode("a " * (length - self.tokenizer.special_tokens))
        # Several batches, so that what runs batches side by side is prepared too.
        long = "warm up " * self.max_seq_length
        count = -(-_WARMUP_TOKENS // self.max_seq_length)
        quiet.encode([f"{number} {long}" for number in range(count)])

    def pipeline(self) -> Pipeline:
        """Return what this embedder is made of, loaded, for those who put batches together themselves.

        Raises:
            As :meth:`encode`.
        """
        if self._closed:
            raise EngineError("This embedder was closed. Make a new one.")
        self._loaded = self._loaded or load_with_runtime(self._engine_key)
        engine = get_engine(self._engine_key, self, self._loaded)
        pipeline = self._prepared
        if pipeline is None or pipeline.engine is not engine:
            self._prepared = pipeline = Pipeline(
                tokenizer=self.tokenizer,
                engine=engine,
                dimension=self.dimension,
                max_length=self.max_seq_length,
                token_budget=engine.token_budget,
                workers=stream_plan(self.threads).streams if self.backend == "openvino" else 1,
            )
        return pipeline

    def quietly(self) -> MiniLMEmbedder:
        """Return an embedder of the same options and engine that says nothing about truncation."""
        twin = copy.copy(self)
        twin._threads, twin._key, twin._loaded = self._threads, self._key, self._loaded
        twin.on_truncate = "ignore"
        twin._truncation = TruncationLog.checked("ignore")
        twin._prepared = None
        return twin

    def unnormalized(self) -> MiniLMEmbedder:
        """Return an embedder of the same options that gives vectors as they are pooled, not of unit length."""
        twin = self.quietly()
        twin.normalize = False
        twin._key = None
        return twin

    def close(self) -> None:
        """Let go of the engine; its memory is freed if no other embedder uses it. Further calls are an error."""
        self._closed = True
        self._prepared = None
        close_engine(self._engine_key, self)

    def __getstate__(self) -> dict[str, Any]:
        # Another process makes an engine of its own, with as many threads as it may have.
        return {**self.__dict__, "_prepared": None, "_loaded": None, "_threads": None, "_key": None}

    def __enter__(self) -> MiniLMEmbedder:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        model = self.model_name or "all-MiniLM-L6-v2"
        return f"MiniLMEmbedder({model!r}, backend={self.backend!r}, precision={self.precision!r})"

    @property
    def _model(self) -> Model:
        # An embedder keeps its model, though its files may change: a collection is searched with what it was made with.
        self._loaded = self._loaded or load_model(self.model_name)
        return self._loaded

    @property
    def _engine_key(self) -> EngineKey:
        if self._key is None:
            # torch's number is one for the whole process, so nobody's but the user's word changes it.
            said = self._requested_threads is not None or ENVIRONMENT_VARIABLE in os.environ
            threads = self.threads if self.backend == "openvino" or said else None
            self._key = EngineKey(self.model_name, self.backend, self.device, self.precision, threads, self.normalize)
        return self._key

    def _encode(self, texts: str | Sequence[str], show_progress: bool) -> tuple[FloatArray, TruncationLog]:
        """Embed without warning, so that the warning can be given where the caller stands."""
        log = self._truncation.new()
        if isinstance(texts, str):
            return self.pipeline().embed_one(texts, log), log
        return self._rows(check_texts(texts), show_progress, log), log

    def _rows(self, texts: list[str], show_progress: bool, log: TruncationLog) -> FloatArray:
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        positions: dict[str, list[int]] = {}
        for position, text in enumerate(texts):
            positions.setdefault(text, []).append(position)
        where = list(positions.values())
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        with progress_bar("Embedding", len(texts), show_progress) as advance:
            for chunk in self.pipeline().run(chunked(positions), log, where.__getitem__):
                for row, vector in enumerate(chunk.vectors(), chunk.position):
                    vectors[where[row]] = vector
                advance(sum(len(where[chunk.position + row]) for row in range(len(chunk.texts))))
        return vectors


DEFAULTS: Mapping[str, Any] = {
    name: parameter.default for name, parameter in inspect.signature(MiniLMEmbedder).parameters.items()
}
"""The embedder's options and their defaults, for those who pass them on."""
