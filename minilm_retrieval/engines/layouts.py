"""How the tokens of a batch lie in an OpenVINO graph: in rows padded to one length, or packed without padding.

A layout makes the graph's inputs, fills them from a batch, and leads between its own form and padded rows, which
attention and pooling need in any case.

Source of packing: Zhai et al. 2023, ByteTransformer: padding is added for attention only, and removed behind it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from minilm_retrieval.batching import Batch
from minilm_retrieval.engines.runtime import ops
from minilm_retrieval.tokenizer import IntArray

Node = Any  # OpenVINO's operations return untyped nodes.
Inputs = list[IntArray]

# Attention over a multiple of so many tokens fills vector registers; over one token less it can take twice as long.
_VECTOR = 16
# Up to here the tokens beyond the first vector cost less than filling up a second one.
_NARROW = 20
# Packed tokens are filled up to a multiple, since each new number costs memory that the runtime keeps.
_STEP = 8


class Layout(Protocol):
    """The form of the hidden states.

    Attributes:
        parameters: The graph's inputs, in the order of :meth:`inputs`.
        input_ids: The input with the token ids.
        present: Shape ``(rows, length)``, float32, 1 for a token and 0 for padding.
    """

    parameters: list[Node]
    input_ids: Node
    present: Node

    def positions(self, table: Node) -> Node:
        """Return the position embeddings of the tokens, from a table of all."""
        ...

    def to_rows(self, tokens: Node) -> Node:
        """Return shape ``(rows, length, size)``, anything finite where padded."""
        ...

    def from_rows(self, rows: Node) -> Node:
        """Return the layout's own form, from shape ``(rows, length, size)``."""
        ...

    @staticmethod
    def inputs(batch: Batch) -> Inputs:
        """Return the values of the graph's inputs."""
        ...


class PaddedLayout:
    """Shape ``(rows, length, size)``: nothing to be moved, which is best for a single text.

    Args:
        shape: Rows and length, where no others will ever come.
    """

    def __init__(self, shape: tuple[int, int] | None = None) -> None:
        names = ("input_ids", "attention_mask")
        self.parameters = [ops.parameter([-1, -1], np.int32, name=name) for name in names]
        inputs = self.parameters
        if shape is not None:
            inputs = [ops.reshape(node, integers(*shape), False) for node in inputs]
        self.input_ids, mask = inputs
        self.present = ops.convert(mask, np.float32)

    def positions(self, table: Node) -> Node:
        """See :class:`Layout`; shape ``(length, size)``."""
        length = ops.gather(ops.shape_of(self.input_ids), integers(1), integer(0))
        return ops.slice(table, integers(0), length, integers(1), integers(0))

    def to_rows(self, tokens: Node) -> Node:
        """See :class:`Layout`."""
        return tokens

    def from_rows(self, rows: Node) -> Node:
        """See :class:`Layout`."""
        return rows

    @staticmethod
    def inputs(batch: Batch) -> Inputs:
        """Return ``input_ids`` and ``attention_mask``, both of shape ``(rows, length)``."""
        return [batch.input_ids, batch.attention_mask]


class PackedLayout:
    """Shape ``(tokens, size)``: the tokens of all texts one behind the other, so that no product computes padding."""

    def __init__(self) -> None:
        self.input_ids = ops.parameter([-1], np.int32, name="input_ids")
        self._position_ids = ops.parameter([-1], np.int32, name="position_ids")
        mask = ops.parameter([-1, -1], np.int32, name="attention_mask")
        self._token_of_place = ops.parameter([-1, -1], np.int32, name="token_of_place")
        self._place_of_token = ops.parameter([-1], np.int32, name="place_of_token")
        self.parameters = [self.input_ids, self._position_ids, mask, self._token_of_place, self._place_of_token]
        self.present = ops.convert(mask, np.float32)

    def positions(self, table: Node) -> Node:
        """See :class:`Layout`; shape ``(tokens, size)``."""
        return ops.gather(table, self._position_ids, integer(0))

    def to_rows(self, tokens: Node) -> Node:
        """See :class:`Layout`."""
        return ops.gather(tokens, self._token_of_place, integer(0))

    def from_rows(self, rows: Node) -> Node:
        """See :class:`Layout`."""
        size = rows.get_output_partial_shape(0)[2].get_length()
        places = ops.reshape(rows, integers(-1, size), False)
        return ops.gather(places, self._place_of_token, integer(0))

    @staticmethod
    def inputs(batch: Batch) -> Inputs:
        """Return the packed inputs.

        Returns:
            ``input_ids`` and ``position_ids`` of each token, shape ``(tokens,)``; ``attention_mask``, shape ``(rows,
            length)``; ``token_of_place``, the same shape: which token stands there, any where it is padded; and
            ``place_of_token``, shape ``(tokens,)``: where in the flattened rows it stands. All int32.
        """
        lengths = batch.attention_mask.sum(axis=1, keepdims=True)
        width = attention_length(int(lengths.max()))
        mask = (np.arange(width) < lengths).astype(np.int32)
        places = np.flatnonzero(mask)
        tokens = len(places)
        input_ids, position_ids, place_of_token = np.zeros((3, -(-tokens // _STEP) * _STEP), dtype=np.int32)
        input_ids[:tokens] = batch.input_ids[batch.attention_mask == 1]
        position_ids[:tokens] = places % width
        place_of_token[:tokens] = places
        token_of_place = np.zeros(mask.shape, dtype=np.int32)
        token_of_place.ravel()[places] = np.arange(tokens)
        return [input_ids, position_ids, mask, token_of_place, place_of_token]


def attention_length(length: int) -> int:
    """Round a number of tokens up to one over which attention is fast.

    >>> [attention_length(n) for n in (3, 16, 18, 21, 100)]
    [16, 16, 20, 32, 112]
    """
    return _NARROW if _VECTOR < length <= _NARROW else -(-length // _VECTOR) * _VECTOR


def constant(value: Any) -> Node:
    """A constant node that reads an array in place."""
    return ops.constant(np.asarray(value, order="C"), shared_memory=True)


def integer(value: int) -> Node:
    """A constant whole number."""
    return constant(np.int64(value))


def integers(*values: int) -> Node:
    """A constant list of whole numbers."""
    return constant(np.array(values, dtype=np.int64))
