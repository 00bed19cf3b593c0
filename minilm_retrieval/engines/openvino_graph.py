"""The BERT encoder with pooling and normalisation, written out as an OpenVINO graph over plain weight arrays.

Source of the formulas: Devlin et al. 2019, BERT; Vaswani et al. 2017, Attention Is All You Need; mean pooling over the
attention mask and L2 normalisation as in Reimers and Gurevych 2019, Sentence-BERT.
"""

from __future__ import annotations

import numpy as np

from minilm_retrieval.engines.folded_weights import FIRST_NORM, PROJECTIONS, TOGETHER
from minilm_retrieval.engines.layouts import Layout, Node, PackedLayout, PaddedLayout, constant, integer, integers
from minilm_retrieval.engines.runtime import ops, ov
from minilm_retrieval.model_config import ModelConfig
from minilm_retrieval.weights import Weights

_MASKED = np.float32(np.finfo(np.float32).min)


class GraphBuilder:
    """Builds the graph.

    Args:
        config: The architecture.
        weights: What :func:`minilm_retrieval.engines.folded_weights.folded_weights` returns, whose module says how they
            differ from the model's. The graph reads them in place.
        packed: Build it for many tokens: without padding, and with three matrix products for query, key and value. For
            a few, where starting an operation costs most, there are fewer: nothing is packed, and there is one product.
        shape: Rows and length, where no others will ever come; not with ``packed``.
    """

    def __init__(
        self, config: ModelConfig, weights: Weights, packed: bool = False, shape: tuple[int, int] | None = None
    ) -> None:
        self.config = config
        self.weights = weights
        self.packed = packed
        self.layout: Layout = PackedLayout() if packed else PaddedLayout(shape)
        size = config.hidden_size // config.heads
        self.split_heads = integers(0, 0, config.heads, size)
        self.split_all = integers(0, 0, len(PROJECTIONS) * config.heads, size)
        self.merge_heads = integers(0, 0, config.hidden_size)
        self.swap = integers(0, 2, 1, 3)

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

        hidden, norm = self.embeddings(), FIRST_NORM
        for layer in range(self.config.layers):
            name = f"encoder.layer.{layer}."
            hidden = self.block(hidden, norm, bias, name)
            norm = f"{name}output.LayerNorm"
        rows = self.layout.to_rows(hidden)
        # Pooling takes weights that add up to one, so that the last gain and bias can come behind it.
        pooled = _mean(rows, present) if self.config.pooling == "mean" else _first(rows)
        vector = ops.add(self.gained(pooled, norm), self.constant(f"{norm}.bias"))
        if normalize:
            vector = ops.normalize_l2(vector, integers(1), 1e-12, "max")
        return ov.Model([vector], self.layout.parameters, "sentence_encoder")

    def embeddings(self) -> Node:
        """Sum the embeddings of word, position and token type 0, and normalise."""
        weights = self.weights
        words = ops.gather(self.constant("embeddings.word_embeddings.weight"), self.layout.input_ids, integer(0))
        token_type = weights["embeddings.token_type_embeddings.weight"][0]
        table = constant(weights["embeddings.position_embeddings.weight"] + token_type)
        return self.normalized(ops.add(words, self.layout.positions(table)))

    def block(self, hidden: Node, norm: str, bias: Node, name: str) -> Node:
        """One transformer block: self-attention and feed-forward, each added to its input and normalised.

        Args:
            hidden: Normalised, without the gain and bias
            norm: of this layer normalisation.
            bias: For attention's logits.
            name: Of the block.
        """
        attended = self.linear(self.attention(hidden, bias, f"{name}attention.self."), f"{name}attention.output.dense")
        hidden = self.normalized(ops.add(attended, self.gained(hidden, norm)))
        inner = self.linear(self.activation(self.linear(hidden, f"{name}intermediate.dense")), f"{name}output.dense")
        return self.normalized(ops.add(inner, self.gained(hidden, f"{name}attention.output.LayerNorm")))

    def attention(self, hidden: Node, bias: Node, name: str) -> Node:
        """softmax(Q K^T / sqrt(size of a head) + bias) V, for every head; the query comes divided."""
        query, key, value = self.projections(hidden, name)
        logits = ops.add(ops.matmul(query, key, False, True), bias)
        context = ops.matmul(ops.softmax(logits, 3), value, False, False)
        return self.layout.from_rows(ops.reshape(ops.transpose(context, self.swap), self.merge_heads, True))

    def projections(self, hidden: Node, name: str) -> list[Node]:
        """Query, key and value, by one matrix product or three; shape ``(rows, heads, length, size of a head)``."""
        if self.packed:
            return [self.heads(self.linear(hidden, f"{name}{part}")) for part in PROJECTIONS]
        together = ops.reshape(self.linear(hidden, f"{name}{TOGETHER}"), self.split_all, True)
        return list(ops.split(ops.transpose(together, self.swap), integer(1), len(PROJECTIONS)).outputs())

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

    def normalized(self, tensor: Node) -> Node:
        """Centre and scale each token."""
        return ops.mvn(tensor, integers(-1), True, self.config.layer_norm_eps, "INSIDE_SQRT")

    def gained(self, tensor: Node, norm: str) -> Node:
        """Weigh the dimensions of normalised tokens."""
        return ops.multiply(tensor, self.constant(f"{norm}.weight"))

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
