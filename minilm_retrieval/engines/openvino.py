"""The default engine: OpenVINO on the processor.

The model is compiled twice at most: for latency (one stream with all threads, for a call that is a single batch) and
for throughput (as many streams as threads, so that batches run side by side). Each is compiled when first needed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import openvino as ov

from minilm_retrieval.batching import Batch
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.engines.openvino_graph import build_graph
from minilm_retrieval.errors import EngineError
from minilm_retrieval.model import Model

# Prepared operations kept per stream; with the default of 5,000, memory grows for long with every new input shape.
_OPERATIONS_KEPT = 256


class OpenVINOEngine:
    """Runs a model with OpenVINO in float32.

    Args:
        model: The loaded model.
        threads: How many threads to use.
        normalize: Whether vectors get unit length.
    """

    def __init__(self, model: Model, threads: int, normalize: bool) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._core = ov.Core()
        self._config = model.config
        self._weights = model.weights()
        self._normalize = normalize

    def embed(self, batches: Iterable[Batch]) -> Iterator[FloatArray]:
        """See :class:`minilm_retrieval.engines.engine.Engine`."""
        remaining = iter(batches)
        first = list(_take(remaining, 2))
        requests = self._latency if len(first) < 2 else self._throughput
        yield from requests.run(chain(first, remaining))

    @property
    def _latency(self) -> _Requests:
        with self._lock:
            return self._compiled_for_latency

    @property
    def _throughput(self) -> _Requests:
        with self._lock:
            return self._compiled_for_throughput if self._threads > 1 else self._compiled_for_latency

    @cached_property
    def _compiled_for_latency(self) -> _Requests:
        return self._compile(streams=1, fuse_projections=True)

    @cached_property
    def _compiled_for_throughput(self) -> _Requests:
        return self._compile(streams=self._threads, fuse_projections=False)

    def _compile(self, streams: int, fuse_projections: bool) -> _Requests:
        graph = build_graph(self._config, self._weights, self._normalize, fuse_projections)
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(self._threads),
            "CPU_RUNTIME_CACHE_CAPACITY": str(_OPERATIONS_KEPT),
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
        running: deque[ov.InferRequest] = deque()
        try:
            for batch in batches:
                if len(running) == self._in_flight:
                    yield self._finish(running)
                running.append(self._start(batch))
            while running:
                yield self._finish(running)
        finally:
            # Their results are not wanted any more, nor is a failure of theirs.
            for request in running:
                with suppress(RuntimeError):
                    request.wait()

    def _start(self, batch: Batch) -> ov.InferRequest:
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            request.start_async([batch.input_ids, batch.attention_mask], share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {error}") from error
        return request

    def _finish(self, running: deque[ov.InferRequest]) -> FloatArray:
        """Wait for the oldest, so that vectors come in the order of their batches."""
        request = running.popleft()
        try:
            request.wait()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {error}") from error
        vectors = np.array(request.get_output_tensor().data, dtype=np.float32)
        self._free.append(request)
        return vectors


def _take(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    for _, batch in zip(range(count), batches, strict=False):
        yield batch
