"""The encoder with 8-bit weights, whose activations the runtime quantises row by row as it computes.

A few hidden dimensions of BERT are many times larger than the others and would leave those with few of the 8 bits. So
activations are divided by a smoothing factor for each dimension, and the weights multiplied with it, which changes no
product. The factors need typical sizes of activations; those of random tokens serve, so that no data is needed.

Source: Xiao et al. 2023, SmoothQuant, equation 4 with a strength of 0.5, for the smoothing; Jacob et al. 2018,
Quantization and Training of Neural Networks, for symmetric weights with one scale an output.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.engines.folded_weights import TOGETHER
from minilm_retrieval.engines.layouts import Node, constant, integers
from minilm_retrieval.engines.openvino_graph import GraphBuilder
from minilm_retrieval.engines.runtime import ops, ov
from minilm_retrieval.model import Model
from minilm_retrieval.model_config import ModelConfig
from minilm_retrieval.tokenizer import IntArray
from minilm_retrieval.weights import Weights

_LARGEST = 127
_SAMPLE_ROWS, _SAMPLE_LENGTH = 16, 16

Peaks = dict[str, FloatArray]


class QuantizedGraphBuilder(GraphBuilder):
    """Builds the graph with 8-bit weights.

    Args:
        config: The architecture.
        weights: In float32.
        packed: See :class:`minilm_retrieval.engines.openvino_graph.GraphBuilder`.
        peaks: See :func:`activation_peaks`.
    """

    def __init__(self, config: ModelConfig, weights: Weights, packed: bool, peaks: Peaks) -> None:
        super().__init__(config, weights, packed)
        self._peaks = peaks
        self._smoothed: dict[str, tuple[Node, FloatArray]] = {}

    def linear(self, tensor: Node, name: str) -> Node:
        """Product with 8-bit weights, of smoothed activations where there are peaks for them."""
        weight = self.weights[f"{name}.weight"]
        site = _site(name)
        if site in self._peaks:
            if site not in self._smoothed:
                factors = smoothing_factors(self._peaks[site], self._largest_weights(site))
                self._smoothed[site] = ops.multiply(tensor, constant(1 / factors)), factors
            tensor, factors = self._smoothed[site]
            weight = weight * factors
        quantized, scale = quantize(weight)
        restored = ops.multiply(ops.convert(constant(quantized), np.float32), constant(scale))
        return ops.add(ops.matmul(tensor, restored, False, True), self.constant(f"{name}.bias"))

    def _largest_weights(self, site: str) -> FloatArray:
        """Largest magnitude for each input dimension over all layers of a site."""
        matrices = [
            matrix for name, matrix in self.weights.items() if name.endswith(".weight") and _site(name[:-7]) == site
        ]
        largest: FloatArray = np.max([np.abs(matrix).max(axis=0) for matrix in matrices], axis=0)
        return largest


class _PeakRecorder(GraphBuilder):
    """Builds the float32 graph, and keeps the inputs of the layers that read normalised activations."""

    def __init__(self, model: Model, weights: Weights) -> None:
        super().__init__(model.config, weights)
        self.inputs: dict[str, Node] = {}

    def linear(self, tensor: Node, name: str) -> Node:
        if name.endswith((f".{TOGETHER}", ".intermediate.dense")):
            self.inputs[_site(name)] = tensor
        return super().linear(tensor, name)


def activation_peaks(model: Model, weights: Weights, core: ov.Core, threads: int) -> Peaks:
    """Return the largest magnitude of each hidden dimension where a layer reads it, over random tokens.

    Args:
        model: The model, for its configuration and special tokens.
        weights: In float32.
        core: Runs it,
        threads: on so many.

    Returns:
        For each place that reads normalised activations, an array of shape ``(hidden_size,)``.
    """
    recorder = _PeakRecorder(model, weights)
    graph = recorder.build(normalize=True)
    peaks = [ops.reduce_max(ops.absolute(tensor), integers(0, 1)) for tensor in recorder.inputs.values()]
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads)}
    compiled = core.compile_model(ov.Model(peaks, graph.get_parameters(), "peaks"), "CPU", options)
    input_ids = _random_tokens(model)
    results = compiled([input_ids, np.ones_like(input_ids)])
    return {site: np.array(results[number]) for number, site in enumerate(recorder.inputs)}


def smoothing_factors(peaks: FloatArray, largest_weights: FloatArray) -> FloatArray:
    """Return by what to divide each dimension: sqrt(peak / largest weight), relative to the median.

    >>> smoothing_factors(np.float32([1, 1, 16]), np.float32([1, 1, 1])).tolist()
    [1.0, 1.0, 4.0]
    """
    tiny = np.finfo(np.float32).tiny
    factors = np.sqrt(np.maximum(peaks, tiny) / np.maximum(largest_weights, tiny))
    # Bounded, so that a dimension that is nearly always zero costs the others nothing.
    bounded: FloatArray = np.clip(factors / np.median(factors), 1e-2, 1e2).astype(np.float32)
    return bounded


def quantize(weight: FloatArray) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Return 8-bit weights and the scale of each row, such that their product is nearly the weight.

    >>> quantized, scale = quantize(np.float32([[127, -50.2], [0, 0]]))
    >>> quantized.tolist(), scale.tolist()
    ([[127, -50], [0, 0]], [[1.0], [1.0]])
    """
    peaks = np.abs(weight).max(axis=1, keepdims=True)
    scale: FloatArray = np.where(peaks > 0, peaks / _LARGEST, 1).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def _site(name: str) -> str:
    """Layers that read the same activations have the same parent: query, key and value, and the inner layer."""
    return name.rpartition(".")[0]


def _random_tokens(model: Model) -> IntArray:
    """Random words of the vocabulary, between the model's special tokens; the same ones every time."""
    shape = (_SAMPLE_ROWS, min(_SAMPLE_LENGTH, model.config.max_positions))
    input_ids: IntArray = np.random.default_rng(0).integers(0, model.config.vocab_size, shape).astype(np.int32)
    frame = model.tokenizer.tokenize("", 2).ids
    input_ids[:, 0], input_ids[:, -1] = frame[0], frame[-1]
    return input_ids
