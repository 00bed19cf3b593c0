"""What the graph with fixed shapes for a single short text saves, and what it costs when compiling and in memory.

    python benchmarks/static_shapes.py

The engine's model with that branch and the one without it answer in turn, so that both meet the machine in the same
state. Lengths vary from one query to the next, as they do in use.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from limits import resident

from minilm_retrieval.batching import Batch, single_batch
from minilm_retrieval.engines.folded_weights import folded_weights
from minilm_retrieval.engines.layouts import Inputs, PaddedLayout
from minilm_retrieval.engines.openvino_graph import GraphBuilder
from minilm_retrieval.engines.runtime import ov
from minilm_retrieval.engines.short_texts import SHORT_LENGTH, SHORT_SHAPE, branched, short_inputs
from minilm_retrieval.model import load_model

_LENGTHS = range(6, SHORT_LENGTH + 5)
_ROUNDS = 60
_OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "NUM_STREAMS": "1",
    "INFERENCE_NUM_THREADS": "2",
    "ENABLE_CPU_PINNING": True,
}
_Fill = Callable[[Batch], Inputs]


def main() -> None:
    """Measure both forms, and print medians, seconds and megabytes."""
    model, core = load_model(), ov.Core()
    weights = folded_weights(model.config, model.weights())
    chance = np.random.default_rng(0)
    batches = {length: single_batch(chance.integers(1000, 20_000, length).astype(np.int32)) for length in _LENGTHS}

    def without() -> ov.Model:
        return GraphBuilder(model.config, weights).build(normalize=True)

    def with_branch() -> ov.Model:
        return branched(GraphBuilder(model.config, weights, shape=SHORT_SHAPE).build(normalize=True), without())

    forms: dict[str, tuple[Callable[[], ov.Model], _Fill]] = {
        "with it": (with_branch, short_inputs),
        "without it": (without, PaddedLayout.inputs),
    }
    # What the runtime needs once, for the first model of a process, belongs to neither.
    first = core.compile_model(without(), "CPU", _OPTIONS).create_infer_request()
    _milliseconds(first, PaddedLayout.inputs(batches[SHORT_LENGTH]))
    requests: dict[str, tuple[ov.InferRequest, _Fill]] = {}
    for name, (build, fill) in forms.items():
        before, started = resident("VmRSS"), time.perf_counter()
        request = core.compile_model(build(), "CPU", _OPTIONS).create_infer_request()
        seconds = time.perf_counter() - started
        for batch in batches.values():
            _milliseconds(request, fill(batch))
        requests[name] = request, fill
        print(f"{name}: compiled in {seconds:.2f} s, {resident('VmRSS') - before:.0f} MB with all lengths")
    times: dict[tuple[str, bool], list[float]] = {}
    for _ in range(_ROUNDS):
        for name, (request, fill) in requests.items():
            for length in chance.permutation(_LENGTHS):
                spent = _milliseconds(request, fill(batches[length]))
                times.setdefault((name, length <= SHORT_LENGTH), []).append(spent)
    for (name, short), spent_all in times.items():
        print(f"{'up to' if short else 'over'} {SHORT_LENGTH} tokens, {name}: {median(spent_all):.2f} ms")


def _milliseconds(request: ov.InferRequest, inputs: Inputs) -> float:
    started = time.perf_counter()
    for number, array in enumerate(inputs):
        request.set_input_tensor(number, ov.Tensor(array, shared_memory=True))
    request.start_async()
    request.wait()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
