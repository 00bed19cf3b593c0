"""The encoder's weights, with what is only multiplied and added around its matrix products moved into them.

Layer normalisation ends with a gain g and a bias b for each dimension. The product that reads it is computed as
``(z g + b) W + c = z (g W) + (b W + c)``, and the residual sum takes b from the bias of the product that it adds. The
division of attention's logits by the root of a head's size is moved into the query. That saves a pass over the hidden
states at each normalisation, and changes a vector by rounding only.
"""

from __future__ import annotations

import math

import numpy as np

from minilm_retrieval.model_config import ModelConfig
from minilm_retrieval.weights import Weights

PROJECTIONS = ("query", "key", "value")
TOGETHER = "projections"
FIRST_NORM = "embeddings.LayerNorm"


def folded_weights(config: ModelConfig, weights: Weights) -> Weights:
    """Return the weights for :class:`minilm_retrieval.engines.openvino_graph.GraphBuilder`.

    Query, key and value of each layer are also stacked, under the name ``projections``; the single ones are views of
    the stack, so that graphs of both kinds read the same memory.

    Args:
        config: The architecture.
        weights: All tensors of :func:`minilm_retrieval.weights.tensor_shapes`, float32.
    """
    weights = dict(weights)
    norm = FIRST_NORM
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}."
        attention, inner_norm = f"{block}attention.self.", f"{block}attention.output.LayerNorm"
        for part in PROJECTIONS:
            _fold_gain_and_bias(weights, f"{attention}{part}", norm)
        _stack_projections(weights, attention, config.hidden_size // config.heads)
        _fold_residual_bias(weights, f"{block}attention.output.dense", norm)
        _fold_gain_and_bias(weights, f"{block}intermediate.dense", inner_norm)
        _fold_residual_bias(weights, f"{block}output.dense", inner_norm)
        norm = f"{block}output.LayerNorm"
    return weights


def _fold_gain_and_bias(weights: Weights, product: str, norm: str) -> None:
    matrix = weights[f"{product}.weight"]
    weights[f"{product}.bias"] = weights[f"{product}.bias"] + matrix @ weights[f"{norm}.bias"]
    weights[f"{product}.weight"] = matrix * weights[f"{norm}.weight"]


def _fold_residual_bias(weights: Weights, product: str, norm: str) -> None:
    weights[f"{product}.bias"] = weights[f"{product}.bias"] + weights[f"{norm}.bias"]


def _stack_projections(weights: Weights, attention: str, head_size: int) -> None:
    scale = np.float32(1.0 / math.sqrt(head_size))
    for kind in ("weight", "bias"):
        names = [f"{attention}{part}.{kind}" for part in PROJECTIONS]
        query, *others = (weights[name] for name in names)
        stack = np.concatenate([query * scale, *others])
        weights[f"{attention}{TOGETHER}.{kind}"] = stack
        weights.update(zip(names, np.split(stack, len(names)), strict=True))
