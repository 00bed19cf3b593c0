"""The default engine: OpenVINO on the processor.

The model is compiled twice at most: for latency (one stream with all threads, for a call that is a single batch) and
for throughput (several streams, so that batches run side by side, and no padding but in attention). Each is compiled
when first needed, and checked the first time that happens on a processor.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from minilm_retrieval.batching import Batch
from minilm_retrieval.cpu import allowed_processors, stream_plan
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.engines.folded_weights import folded_weights
from minilm_retrieval.engines.forks import keep_for_ever, loading
from minilm_retrieval.engines.freed_memory import give_back_freed_memory
from minilm_retrieval.engines.layouts import Inputs
from minilm_retrieval.engines.openvino_graph import GraphBuilder
from minilm_retrieval.engines.quantized_graph import Peaks, QuantizedGraphBuilder, activation_peaks
from minilm_retrieval.engines.runtime import ov
from minilm_retrieval.engines.self_check import SelfCheck
from minilm_retrieval.engines.short_texts import SHORT_LENGTH, SHORT_SHAPE, branched, short_inputs
from minilm_retrieval.errors import EngineError, PrecisionWarning
from minilm_retrieval.model import Model

_Fill = Callable[[Batch], Inputs]


def has_bfloat16(core: ov.Core | None = None) -> bool:
    """Tell whether the processor computes with bfloat16 itself."""
    capabilities = (core or ov.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


class OpenVINOEngine:
    """Runs a model with OpenVINO.

    Args:
        model: The loaded model.
        precision: Of the matrix products, ``"float32"``, ``"bfloat16"`` or ``"int8"``. Normalising and pooling stay in
            float32; attention in int8 is in bfloat16 where the processor has it.
        threads: How many threads to use.
        normalize: Whether vectors get unit length.

    Raises:
        EngineError: The processor has no instructions for the precision.
    """

    def __init__(self, model: Model, precision: str, threads: int, normalize: bool) -> None:
        self._threads = threads
        self._plan = stream_plan(threads)
        self._lock = threading.Lock()
        self._core = ov.Core()
        self._precision = precision
        if precision == "bfloat16" and not has_bfloat16(self._core):
            raise EngineError(
                "This processor has no instructions for bfloat16 (such as AVX512_BF16 or AMX), and imitating them "
                "would be slower than float32. Use precision='float32'."
            )
        self._model = model
        self._weights = folded_weights(model.config, model.weights())
        self._peaks: Peaks | None = None
        self._normalize = normalize
        # By whether they are packed.
        self._requests: dict[bool, _Requests] = {}

    def embed(self, batches: Iterable[Batch], beside_others: bool = False) -> Iterator[FloatArray]:
        """See :class:`minilm_retrieval.engines.engine.Engine`."""
        remaining = iter(batches)
        first = list(_take(remaining, 2))
        alone = len(first) < 2 and not beside_others
        yield from self._compiled(packed=not alone).run(chain(first, remaining))

    def _compiled(self, packed: bool) -> _Requests:
        with self._lock:
            if packed not in self._requests:
                with loading():
                    self._requests[packed] = self._checked(packed)
            return self._requests[packed]

    def _checked(self, packed: bool) -> _Requests:
        """Compile the model, or in its place the one in float32 if that of another precision fails or is wrong."""
        runtime = f"OpenVINO {ov.__version__}, {'packed' if packed else 'padded'}"
        check = SelfCheck(self._model, self._precision, runtime)
        try:
            requests = self._compile(self._precision, packed)
            if check.passes(requests.run, lambda: self._compile("float32", packed).run):
                return requests
        except EngineError:
            if self._precision == "float32":
                raise
        if self._precision == "float32":
            raise EngineError(f"{check.failure()} Use backend='torch'.")
        warnings.warn(f"{check.failure()} Going on in float32.", PrecisionWarning, stacklevel=2)
        self._precision = "float32"
        # The other form, had it passed, would give vectors of another precision than this one.
        self._requests.clear()
        return self._checked(packed)

    def _compile(self, precision: str, packed: bool) -> _Requests:
        streams = self._plan.streams if packed else 1
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32" if precision == "float32" or not has_bfloat16(self._core) else "bf16",
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(self._threads if packed else self._plan.latency_threads),
            # Threads that hold on to processors, always the first ones, would meet there with those of other processes.
            "ENABLE_CPU_PINNING": self._threads >= len(allowed_processors()),
        }
        if precision == "int8":
            # So many activations of a token share a scale: all of most layers' inputs, a quarter of the widest one's.
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(self._model.config.hidden_size)
        try:
            graph, inputs = self._graph(precision, packed)
            return _Requests(self._core.compile_model(graph, "CPU", options), inputs, streams)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO could not compile the model: {error}") from error

    def _graph(self, precision: str, packed: bool) -> tuple[ov.Model, _Fill]:
        config, builder = self._model.config, self._builder(precision, packed)
        graph = builder.build(self._normalize)
        # A branch of 8-bit weights would have its own, since they are made with the graph.
        if packed or precision == "int8" or config.max_positions < SHORT_LENGTH:
            return graph, builder.layout.inputs
        short = GraphBuilder(config, self._weights, shape=SHORT_SHAPE).build(self._normalize)
        return branched(short, graph), short_inputs

    def _builder(self, precision: str, packed: bool) -> GraphBuilder:
        config = self._model.config
        if precision != "int8":
            return GraphBuilder(config, self._weights, packed)
        if self._peaks is None:
            self._peaks = activation_peaks(self._model, self._weights, self._core, self._plan.latency_threads)
        return QuantizedGraphBuilder(config, self._weights, packed, self._peaks)


_Running = tuple[ov.InferRequest, Inputs]


class _Requests:
    """The inference requests of one compiled model, shared by all threads of the process.

    Nobody ever waits for a request of somebody else: where none is free, another is made, which costs little, since the
    memory of a computation belongs to the stream that runs it. So the caller's own code, which may embed something
    itself while batches are taken from it, cannot be waited for in a circle.
    """

    def __init__(self, compiled: ov.CompiledModel, inputs: _Fill, streams: int) -> None:
        self._compiled = compiled
        self._inputs = inputs
        # One more than can run, so that no stream waits for its next batch.
        self._in_flight = streams + 1
        self._free: deque[ov.InferRequest] = deque(maxlen=2 * self._in_flight)
        self._lengths: set[int] = set()

    def run(self, batches: Iterable[Batch]) -> Iterator[FloatArray]:
        # With each request its inputs, which it reads without keeping them alive.
        running: deque[_Running] = deque()
        process = os.getpid()
        try:
            for batch in batches:
                if len(running) == self._in_flight:
                    yield self._finish(running)
                    _refuse_after_fork(process)
                running.append(self._start(batch))
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
                keep_for_ever((self, running))

    def _start(self, batch: Batch) -> _Running:
        length = batch.input_ids.shape[1]
        if length not in self._lengths:
            self._lengths.add(length)
            give_back_freed_memory()
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        inputs = self._inputs(batch)
        try:
            # Given to start_async itself, the arrays would pass through checks that take longer than tokenising.
            for number, array in enumerate(inputs):
                request.set_input_tensor(number, ov.Tensor(array, shared_memory=True))
            request.start_async()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {error}") from error
        return request, inputs

    def _finish(self, running: deque[_Running]) -> FloatArray:
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
