"""Where the engine's time goes, by kind of operation, from OpenVINO's own counters: one stream, one thread.

    python benchmarks/operation_times.py

``FullyConnected`` are the matrix products with weights, GELU included; ``Subgraph`` is attention, softmax included.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from minilm_retrieval.batching import bucket_length, padded_batch
from minilm_retrieval.engines.folded_weights import folded_weights
from minilm_retrieval.engines.openvino_graph import GraphBuilder
from minilm_retrieval.engines.runtime import ov
from minilm_retrieval.model import load_model

_SHAPES = ((36, 14), (32, 16), (5, 100), (2, 256))
_RUNS = 25


def main() -> None:
    """Measure each shape, and print the shares."""
    model = load_model()
    builder = GraphBuilder(model.config, folded_weights(model.config, model.weights()), packed=True)
    graph = builder.build(normalize=True)
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": "1",
        "PERF_COUNT": "YES",
    }
    core = ov.Core()
    chance = np.random.default_rng(0)
    for rows, length in _SHAPES:
        # The counters are means over all that was run, so that each shape needs its own.
        request = core.compile_model(graph, "CPU", options).create_infer_request()
        texts = list(chance.integers(1000, 20_000, (rows, length)).astype(np.int32))
        inputs = builder.layout.inputs(padded_batch(texts, range(rows), bucket_length(length)))
        for _ in range(_RUNS):
            request.infer(inputs)
        seconds: Counter[str] = Counter()
        for step in request.profiling_info:
            seconds[step.node_type] += step.real_time.total_seconds()
        total = sum(seconds.values())
        shares = ", ".join(f"{kind} {spent / total:.1%}" for kind, spent in seconds.most_common(5))
        print(f"{rows} texts of {length} tokens, {1000 * total:.0f} ms: {shares}")


if __name__ == "__main__":
    main()
