"""A graph with fixed shapes for a single short text, such as a query, beside the graph for everything else.

Where shapes are known when a graph is compiled, the runtime prepares all operations once, and not again whenever a
length differs from the one before. Both graphs stand in one model, as the branches of a condition, because only there
does the runtime hold a single copy of the weights that both read. Until another text comes, the first one stands alone.
"""

from __future__ import annotations

import numpy as np

from minilm_retrieval.batching import Batch
from minilm_retrieval.engines.layouts import Inputs, PaddedLayout, integers
from minilm_retrieval.engines.runtime import ops, ov

# Room for a short question; an empty place costs less than shapes that vary.
SHORT_LENGTH = 16
SHORT_SHAPE = (1, SHORT_LENGTH)


def branched(short: ov.Model, others: ov.Model) -> ov.Model:
    """Return a model that runs one graph on inputs of :data:`SHORT_SHAPE`, and another one on all others.

    Args:
        short: Of a :class:`minilm_retrieval.engines.layouts.PaddedLayout` with that shape,
        others: and with none.
    """
    inputs = PaddedLayout().parameters
    same_shape = ops.equal(ops.shape_of(inputs[0]), integers(*SHORT_SHAPE))
    choice = ops.if_op(ops.reduce_logical_and(same_shape, integers(0)).output(0))
    choice.set_then_body(short)
    choice.set_else_body(others)
    for node, own, other in zip(inputs, short.get_parameters(), others.get_parameters(), strict=True):
        choice.set_input(node.output(0), own, other)
    vectors = choice.set_output(short.get_results()[0], others.get_results()[0])
    return ov.Model([vectors], inputs, "sentence_encoder")


def is_short(batch: Batch) -> bool:
    """Tell whether a batch is a single text that fits into :data:`SHORT_SHAPE`."""
    rows, length = batch.input_ids.shape
    return bool(rows == 1 and length <= SHORT_LENGTH)


def short_inputs(batch: Batch) -> Inputs:
    """Return the inputs of :func:`branched`: those of the padded layout, a single short text filled up.

    >>> ids = np.array([[101, 7592, 102]], dtype=np.int32)
    >>> [array.shape for array in short_inputs(Batch((0,), ids, np.ones_like(ids)))]
    [(1, 16), (1, 16)]
    """
    inputs = PaddedLayout.inputs(batch)
    length = batch.input_ids.shape[1]
    if not is_short(batch) or length == SHORT_LENGTH:
        return inputs
    filled = np.zeros((len(inputs), *SHORT_SHAPE), dtype=np.int32)
    filled[:, :, :length] = inputs
    return list(filled)
