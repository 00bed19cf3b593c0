"""The default engine: OpenVINO on the processor.

The model is compiled twice at most: for latency (one stream with all threads, for a call that is a single batch) and
for throughput (as many streams as threads, so that batches run side by side). Each is compiled when first needed.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np
import openvino as ov

from minilm_retrieval.batching import Batch
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.engines.forks import keep_for_ever
from minilm_retrieval.engines.openvino_graph import build_graph
from minilm_retrieval.errors import EngineError
from minilm_retrieval.model import Model

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def has_bfloat16(core: ov.Core | None = None) -> bool:
    """Tell whether the processor computes with bfloat16 itself."""
    capabilities = (core or ov.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


class OpenVINOEngine:
    """Runs a model with OpenVINO.

    Args:
        model: The loaded model.
        precision: Of the matrix products, ``"float32"`` or ``"bfloat16"``; normalising and pooling stay in float32.
        threads: How many threads to use.
        normalize: Whether vectors get unit length.

    Raises:
        EngineError: The processor has no instructions for the precision.
    """

    def __init__(self, model: Model, precision: str, threads: int, normalize: bool) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._core = ov.Core()
        self._precision = precision
        if precision == "bfloat16" and not has_bfloat16(self._core):
            raise EngineError(
                "This processor has no instructions for bfloat16 (such as AVX512_BF16 or AMX), and imitating them "
                "would be slower than float32. Use precision='float32'."
            )
        self._config = model.config
        self._weights = model.weights()
        self._normalize = normalize
        self._requests: dict[int, _Requests] = {}

    def embed(self, batches: Iterable[Batch]) -> Iterator[FloatArray]:
        """See :class:`minilm_retrieval.engines.engine.Engine`."""
        remaining = iter(batches)
        first = list(_take(remaining, 2))
        requests = self._compiled(streams=1 if len(first) < 2 else self._threads)
        yield from requests.run(chain(first, remaining))

    def _compiled(self, streams: int) -> _Requests:
        with self._lock:
            if streams not in self._requests:
                self._requests[streams] = self._compile(streams)
            return self._requests[streams]

    def _compile(self, streams: int) -> _Requests:
        graph = build_graph(self._config, self._weights, self._normalize, fuse_projections=streams == 1)
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(self._threads),
        }
        try:
            return _Requests(self._core.compile_model(graph, "CPU", options), streams)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO could not compile the model: {error}") from error


class _Requests:
    """The inference requests of one compiled model, shared by all threads of the process.

    Nobody ever waits for a request of somebody else: where none is free, another is made, which costs little, since the
    memory of a computation belongs to the stream that runs it. So the caller's own code, which may embed something
    itself while batches are taken from it, cannot be waited for in a circle.
    """

    def __init__(self, compiled: ov.CompiledModel, streams: int) -> None:
        self._compiled = compiled
        # One more than can run, so that no stream waits for its next batch.
        self._in_flight = streams + 1
        self._free: deque[ov.InferRequest] = deque(maxlen=2 * self._in_flight)

    def run(self, batches: Iterable[Batch]) -> Iterator[FloatArray]:
        # With each request its batch, whose arrays it reads without keeping them alive.
        running: deque[tuple[ov.InferRequest, Batch]] = deque()
        process = os.getpid()
        try:
            for batch in batches:
                if len(running) == self._in_flight:
                    yield self._finish(running)
                    _refuse_after_fork(process)
                running.append((self._start(batch), batch))
            while running:
                yield self._finish(running)
                _refuse_after_fork(process)
        finally:
            if os.getpid() == process:
                # Their results are not wanted any more, nor is a failure of theirs.
                for request, _ in running:
                    with suppress(RuntimeError):
                        request.wait()
            else:
                # A fork has come between, and the threads that would finish them do not exist here.
                keep_for_ever(running)

    def _start(self, batch: Batch) -> ov.InferRequest:
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            # Given to start_async itself, the arrays would pass through checks that take longer than tokenising.
            request.set_input_tensor(0, ov.Tensor(batch.input_ids, shared_memory=True))
            request.set_input_tensor(1, ov.Tensor(batch.attention_mask, shared_memory=True))
            request.start_async()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {error}") from error
        return request

    def _finish(self, running: deque[tuple[ov.InferRequest, Batch]]) -> FloatArray:
        """Wait for the oldest, so that vectors come in the order of their batches."""
        request, _ = running[0]
        try:
            request.wait()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {error}") from error
        finally:
            running.popleft()
        vectors = np.array(request.get_output_tensor().data, dtype=np.float32)
        self._free.append(request)
        return vectors


def _refuse_after_fork(process: int) -> None:
    if os.getpid() != process:
        raise EngineError(
            "This stream of vectors was begun before a fork, and what it had begun to compute is lost in the child. "
            "Start it again there."
        )


def _take(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    for _, batch in zip(range(count), batches, strict=False):
        yield batch
