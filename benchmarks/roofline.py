"""How fast the processor multiplies matrices in each precision, which no engine can pass, and what a text costs.

    python benchmarks/roofline.py --threads 2     # prints operations a second

The rate is measured with the same runtime as the engine's and on the shapes that the model has: several hundred rows
times the weights of the feed-forward layers, as many streams as threads. In int8 it is that of 8-bit weights with
activations quantised on the way, which is part of each product.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from minilm_retrieval.engines.openvino import has_bfloat16
from minilm_retrieval.options import PRECISIONS

HIDDEN, INNER, LAYERS = 384, 1536, 6
_ROWS = 384
_SECONDS = 2.0


def operations(tokens: Sequence[int]) -> float:
    """Return the mean floating-point operations of the matrix products of texts with so many tokens each.

    A token costs 2 (4 h h + 2 h i) in each layer for the projections and the feed-forward network, and 4 h n for the
    attention over the text's n tokens; a multiplication and an addition count as two.

    >>> round(operations([14]) / 14 / 1e6, 1)
    21.4
    """
    linear = 2 * (4 * HIDDEN**2 + 2 * HIDDEN * INNER) * LAYERS
    return fmean(length * (linear + 4 * HIDDEN * length * LAYERS) for length in tokens)


def measured_rate(threads: int, precision: str = "float32") -> float:
    """Return the operations a second of matrix products, measured in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(threads), "--precision", precision, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    return float(json.loads(done.stdout))


def _measure(threads: int, precision: str) -> float:
    from minilm_retrieval.engines.runtime import ops, ov

    chance = np.random.default_rng(0)
    rows = ops.parameter([_ROWS, HIDDEN], np.float32)
    product: object = rows
    for shape in ((INNER, HIDDEN), (HIDDEN, INNER)) * LAYERS:
        values = (chance.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32)
        weights = _eight_bits(values) if precision == "int8" else ops.constant(values)
        product = ops.matmul(product, weights, False, True)
    hint = "f32" if precision == "float32" or not has_bfloat16() else "bf16"
    options = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": str(threads), "INFERENCE_NUM_THREADS": str(threads)}
    if precision == "int8":
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(HIDDEN)
    compiled = ov.Core().compile_model(ov.Model([product], [rows], "products"), "CPU", options)
    queue = ov.AsyncInferQueue(compiled, threads)
    values = chance.standard_normal((_ROWS, HIDDEN)).astype(np.float32)
    for _ in range(2 * threads):
        queue.start_async([values], share_inputs=True)
    queue.wait_all()
    started, runs = time.perf_counter(), 0
    while time.perf_counter() - started < _SECONDS:
        for _ in range(4 * threads):
            queue.start_async([values], share_inputs=True)
        runs += 4 * threads
    queue.wait_all()
    return runs * 2 * LAYERS * 2 * _ROWS * HIDDEN * INNER / (time.perf_counter() - started)


def _eight_bits(values: Any) -> Any:
    from minilm_retrieval.engines.quantized_graph import quantize
    from minilm_retrieval.engines.runtime import ops

    quantized, scale = quantize(values)
    return ops.multiply(ops.convert(ops.constant(quantized), np.float32), ops.constant(scale))


def main() -> None:
    """Measure, and print the rate."""
    parser = argparse.ArgumentParser(description="Measure the processor's rate of matrix products.")
    parser.add_argument("--threads", type=int, default=2, help="threads to use (default 2)")
    parser.add_argument("--precision", choices=PRECISIONS, help="only this one (default: all)")
    parser.add_argument("--json", action="store_true", help="print bare numbers")
    options = parser.parse_args()
    for precision in [options.precision] if options.precision else PRECISIONS:
        rate = _measure(options.threads, precision)
        print(json.dumps(rate) if options.json else f"{precision}: {rate / 1e9:.0f} billion operations a second")


if __name__ == "__main__":
    main()
