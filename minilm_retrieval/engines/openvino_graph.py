"""The BERT encoder with pooling and normalisation, written out as an OpenVINO graph over plain weight arrays.

Source of the formulas: Devlin et al. 2019, BERT; Vaswani et al. 2017, Attention Is All You Need; mean pooling over the
attention mask and L2 normalisation as in Reimers and Gurevych 2019, Sentence-BERT.
"""

from __future__ import annotations

import math

import numpy as np

from minilm_retrieval.engines.layouts import Layout, Node, PackedLayout, PaddedLayout, constant, integer, integers
from minilm_retrieval.engines.runtime import ops, ov
from minilm_retrieval.model import Weights
from minilm_retrieval.model_config import ModelConfig

_PROJECTIONS = ("query", "key", "value")
_TOGETHER = "projections"
_MASKED = np.float32(np.finfo(np.float32).min)


def with_projections(config: ModelConfig, weights: Weights) -> Weights:
    """Return the weights with query, key and value of each layer also stacked, under the name ``projections``.

    The single ones become views of the stack, so that both kinds of graph read the same memory.

    Args:
        config: The architecture.
        weights: All tensors of :func:`minilm_retrieval.model.tensor_shapes`, float32.
    """
    weights = dict(weights)
    for layer in range(config.layers):
        for kind in ("weight", "bias"):
            names = [f"encoder.layer.{layer}.attention.self.{part}.{kind}" for part in _PROJECTIONS]
            stack = np.concatenate([weights[name] for name in names])
            weights[f"encoder.layer.{layer}.attention.self.{_TOGETHER}.{kind}"] = stack
            weights.update(zip(names, np.split(stack, len(names)), strict=True))
    return weights


class GraphBuilder:
    """Builds the graph.

    Args:
        config: The architecture.
        weights: What :func:`with_projections` returns. The graph reads them in place.
        packed: Build it for many tokens: without padding, and with three matrix products for query, key and value. For
            a few, where starting an operation costs most, there are fewer: nothing is packed, and there is one product.
    """

    def __init__(self, config: ModelConfig, weights: Weights, packed: bool = False) -> None:
        self.config = config
        self.weights = weights
        self.packed = packed
        self.layout: Layout = PackedLayout() if packed else PaddedLayout()
        size = config.hidden_size // config.heads
        self.split_heads = integers(0, 0, config.heads, size)
        self.merge_heads = integers(0, 0, config.hidden_size)
        self.swap = integers(0, 2, 1, 3)
        self.scale = np.float32(1.0 / math.sqrt(size))

    def build(self, normalize: bool) -> ov.Model:
        """Return the graph.

        Args:
            normalize: Divide each vector by its Euclidean length.

        Returns:
            A model with the layout's inputs, and one output of shape ``(rows, hidden_size)`` float32.
        """
        present = self.layout.present
        absent = ops.subtract(constant(np.float32(1.0)), present)
        bias = ops.unsqueeze(ops.multiply(absent, constant(_MASKED)), integers(1, 2))

        hidden = self.embeddings()
        for layer in range(self.config.layers):
            hidden = self.block(hidden, bias, f"encoder.layer.{layer}.")
        rows = self.layout.to_rows(hidden)
        vector = _mean(rows, present) if self.config.pooling == "mean" else _first(rows)
        if normalize:
            vector = ops.normalize_l2(vector, integers(1), 1e-12, "max")
        return ov.Model([vector], self.layout.parameters, "sentence_encoder")

    def embeddings(self) -> Node:
        """Sum the embeddings of word, position and token type 0, and normalise."""
        weights = self.weights
        words = ops.gather(self.constant("embeddings.word_embeddings.weight"), self.layout.input_ids, integer(0))
        token_type = weights["embeddings.token_type_embeddings.weight"][0]
        table = constant(weights["embeddings.position_embeddings.weight"] + token_type)
        return self.layer_norm(ops.add(words, self.layout.positions(table)), "embeddings.LayerNorm")

    def block(self, hidden: Node, bias: Node, name: str) -> Node:
        """One transformer block: self-attention and feed-forward, each added to its input and normalised."""
        attended = self.linear(self.attention(hidden, bias, f"{name}attention.self."), f"{name}attention.output.dense")
        hidden = self.layer_norm(ops.add(attended, hidden), f"{name}attention.output.LayerNorm")
        inner = self.activation(self.linear(hidden, f"{name}intermediate.dense"))
        return self.layer_norm(ops.add(self.linear(inner, f"{name}output.dense"), hidden), f"{name}output.LayerNorm")

    def attention(self, hidden: Node, bias: Node, name: str) -> Node:
        """softmax(Q K^T / sqrt(size of a head) + bias) V, for every head."""
        query, key, value = map(self.heads, self.projections(hidden, name))
        logits = ops.add(ops.matmul(ops.multiply(query, constant(self.scale)), key, False, True), bias)
        context = ops.matmul(ops.softmax(logits, 3), value, False, False)
        return self.layout.from_rows(ops.reshape(ops.transpose(context, self.swap), self.merge_heads, True))

    def projections(self, hidden: Node, name: str) -> list[Node]:
        """Query, key and value, as one matrix product or three."""
        if self.packed:
            return [self.linear(hidden, f"{name}{part}") for part in _PROJECTIONS]
        return list(ops.split(self.linear(hidden, f"{name}{_TOGETHER}"), integer(2), len(_PROJECTIONS)).outputs())

    def heads(self, tensor: Node) -> Node:
        """The layout's form to (rows, heads, length, size of a head)."""
        return ops.transpose(ops.reshape(self.layout.to_rows(tensor), self.split_heads, True), self.swap)

    def activation(self, tensor: Node) -> Node:
        """The activation of the feed-forward network."""
        if self.config.activation == "relu":
            return ops.relu(tensor)
        return ops.gelu(tensor, "TANH" if self.config.activation == "gelu_tanh" else "ERF")

    def linear(self, tensor: Node, name: str) -> Node:
        """Product with the transposed weights, and bias."""
        return ops.add(ops.matmul(tensor, self.constant(f"{name}.weight"), False, True), self.constant(f"{name}.bias"))

    def layer_norm(self, tensor: Node, name: str) -> Node:
        """Centre and scale each token, then weigh its dimensions."""
        centred = ops.mvn(tensor, integers(-1), True, self.config.layer_norm_eps, "INSIDE_SQRT")
        return ops.add(ops.multiply(centred, self.constant(f"{name}.weight")), self.constant(f"{name}.bias"))

    def constant(self, name: str) -> Node:
        """A weight or bias."""
        return constant(self.weights[name])


def _mean(hidden: Node, present: Node) -> Node:
    """Mean over the positions that hold a token."""
    mask = ops.unsqueeze(present, integers(2))
    total = ops.reduce_sum(ops.multiply(hidden, mask), integers(1))
    return ops.divide(total, ops.reduce_sum(mask, integers(1)))


def _first(hidden: Node) -> Node:
    return ops.gather(hidden, integer(0), integer(1))
