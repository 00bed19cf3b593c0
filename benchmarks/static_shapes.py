"""What a graph compiled for one length of a single text would save against the one for all lengths, and cost in memory.

    python benchmarks/static_shapes.py

Each length's two forms answer in turn, so that both meet the machine in the same state.
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np
from limits import resident

from minilm_retrieval.engines.folded_weights import folded_weights
from minilm_retrieval.engines.openvino_graph import GraphBuilder
from minilm_retrieval.engines.runtime import ov
from minilm_retrieval.model import load_model

_LENGTHS = (8, 14, 20)
_QUERIES = 300
_THREADS = 2
_OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "NUM_STREAMS": "1",
    "INFERENCE_NUM_THREADS": str(_THREADS),
    "ENABLE_CPU_PINNING": True,
}


def main() -> None:
    """Measure each length, and print medians and memory."""
    model, core = load_model(), ov.Core()
    weights = folded_weights(model.config, model.weights())

    def request(length: int | None) -> ov.InferRequest:
        graph = GraphBuilder(model.config, weights).build(normalize=True)
        if length is not None:
            graph.reshape({"input_ids": [1, length], "attention_mask": [1, length]})
        return core.compile_model(graph, "CPU", _OPTIONS).create_infer_request()

    for_all = request(None)
    kept = []
    chance = np.random.default_rng(0)
    for length in _LENGTHS:
        ids = chance.integers(1000, 20_000, (1, length)).astype(np.int32)
        inputs = [ids, np.ones_like(ids)]
        _milliseconds(for_all, inputs)
        before = resident("VmRSS")
        own = request(length)
        kept.append(own)
        _milliseconds(own, inputs)
        megabytes = resident("VmRSS") - before
        times = [(_milliseconds(for_all, inputs), _milliseconds(own, inputs)) for _ in range(_QUERIES)]
        dynamic, static = (median(form) for form in zip(*times, strict=True))
        print(
            f"{length} tokens: {dynamic:.2f} ms for all lengths, {static:.2f} ms for this one, {megabytes:.0f} MB more"
        )


def _milliseconds(request: ov.InferRequest, inputs: list[np.ndarray]) -> float:
    started = time.perf_counter()
    request.infer(inputs, share_inputs=True)
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
