"""The default engine: OpenVINO on the processor.

The model is compiled for latency (one stream with all threads, for a call that is a single batch) and for throughput
(several streams, so that batches run side by side, and no padding but in attention). Each is compiled when first
needed, and checked the first time that happens on a processor.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import chain
from typing import Any

from minilm_retrieval.batching import Batch
from minilm_retrieval.cpu import allowed_processors, stream_plan
from minilm_retrieval.engines.engine import CPU_TOKENS, FloatArray
from minilm_retrieval.engines.folded_weights import folded_weights
from minilm_retrieval.engines.forks import loading
from minilm_retrieval.engines.openvino_graph import GraphBuilder
from minilm_retrieval.engines.quantized_graph import Peaks, QuantizedGraphBuilder, activation_peaks
from minilm_retrieval.engines.requests import Fill, Requests
from minilm_retrieval.engines.runtime import ov
from minilm_retrieval.engines.self_check import SelfCheck
from minilm_retrieval.engines.short_texts import SHORT_LENGTH, SHORT_SHAPE, branched, is_short, short_inputs
from minilm_retrieval.errors import EngineError, PrecisionWarning
from minilm_retrieval.model import Model


class Form(Enum):
    """What a compiled model is made for."""

    SHORT = "short"
    """A single short text, and nothing else: the first query of a process need not wait for the rest."""
    PADDED = "padded"
    """A single batch of whatever shape, short texts included."""
    PACKED = "packed"
    """Many batches, side by side."""


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

    token_budget = CPU_TOKENS

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
        self._requests: dict[Form, Requests] = {}

    def embed(self, batches: Iterable[Batch], beside_others: bool = False) -> Iterator[FloatArray]:
        """See :class:`minilm_retrieval.engines.engine.Engine`."""
        remaining = iter(batches)
        first = list(_take(remaining, 2))
        if len(first) > 1 or beside_others:
            form = Form.PACKED
        else:
            form = Form.SHORT if self._has_short(self._precision) and all(map(is_short, first)) else Form.PADDED
        yield from self._compiled(form).run(chain(first, remaining))

    def _compiled(self, form: Form) -> Requests:
        with self._lock:
            if form is Form.SHORT and Form.PADDED in self._requests:
                form = Form.PADDED
            if form not in self._requests:
                if form is Form.PADDED:
                    # It takes the place of this one, so that their weights are in memory once.
                    self._requests.pop(Form.SHORT, None)
                with loading():
                    self._requests[form] = self._checked(form)
            return self._requests[form]

    def _checked(self, form: Form) -> Requests:
        """Compile the model, or in its place the one in float32 if that of another precision fails or is wrong."""
        runtime = f"OpenVINO {ov.__version__}, {form.value}"
        check = SelfCheck(self._model, self._precision, runtime, short_only=form is Form.SHORT)
        try:
            requests = self._compile(self._precision, form)
            if check.passes(requests.run, lambda: self._compile("float32", form).run):
                return requests
        except EngineError:
            if self._precision == "float32":
                raise
        if self._precision == "float32":
            raise EngineError(f"{check.failure()} Use backend='torch'.")
        warnings.warn(f"{check.failure()} Going on in float32.", PrecisionWarning, stacklevel=2)
        self._precision = "float32"
        # The other forms, had they passed, would give vectors of another precision than this one.
        self._requests.clear()
        return self._checked(form)

    def _compile(self, precision: str, form: Form) -> Requests:
        packed = form is Form.PACKED
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
            graph, inputs = self._graph(precision, form)
            return Requests(self._core.compile_model(graph, "CPU", options), inputs, streams)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO could not compile the model: {error}") from error

    def _graph(self, precision: str, form: Form) -> tuple[ov.Model, Fill]:
        if form is Form.SHORT:
            return self._short_graph(), short_inputs
        builder = self._builder(precision, form is Form.PACKED)
        graph = builder.build(self._normalize)
        if form is Form.PACKED or not self._has_short(precision):
            return graph, builder.layout.inputs
        return branched(self._short_graph(), graph), short_inputs

    def _has_short(self, precision: str) -> bool:
        # One of 8-bit weights would have its own, since they are made with the graph.
        return precision != "int8" and self._model.config.max_positions >= SHORT_LENGTH

    def _short_graph(self) -> ov.Model:
        return GraphBuilder(self._model.config, self._weights, shape=SHORT_SHAPE).build(self._normalize)

    def _builder(self, precision: str, packed: bool) -> GraphBuilder:
        config = self._model.config
        if precision != "int8":
            return GraphBuilder(config, self._weights, packed)
        if self._peaks is None:
            self._peaks = activation_peaks(self._model, self._weights, self._core, self._plan.latency_threads)
        return QuantizedGraphBuilder(config, self._weights, packed, self._peaks)


def _take(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    for _, batch in zip(range(count), batches, strict=False):
        yield batch
