"""Length-sorted batches under a token budget, in few shapes.

Sorting by length keeps padding low; a budget in tokens, not texts, keeps memory flat whatever the lengths; and lengths
and batch sizes come from a small set, because every new input shape costs an engine time and memory that it keeps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from minilm_retrieval.tokenizer import IntArray

# Fewer tokens than this are computed less efficiently, more than the whole budget never is.
MIN_BUDGET = 128
# Four to a doubling, so that a batch is nearly as large as the budget allows.
_BATCH_SIZES = sorted({1, 2, 3} | {base << shift for base in range(4, 8) for shift in range(13)})
# Eight to a doubling: finer ones make no batch of sorted texts measurably faster, and each costs memory.
_LENGTHS = list(chain(range(2, 16), *(range(8 * step, 16 * step, step) for step in (2, 4, 8, 16, 32)), (512,)))


@dataclass(frozen=True)
class Batch:
    """Token ids of several texts, padded to one length.

    Attributes:
        positions: For each of the first rows, the position of its text in the call; further rows are filling.
        input_ids: Shape ``(rows, length)``, int32, zero where padded.
        attention_mask: Same shape, int32, 1 for a token and 0 for padding.
    """

    positions: tuple[int, ...]
    input_ids: IntArray
    attention_mask: IntArray


def make_batches(
    sequences: Sequence[IntArray], token_budget: int, workers: int = 1, max_length: int = 512
) -> Iterator[Batch]:
    """Group token sequences into padded batches, longest first.

    Args:
        sequences: Token ids, special tokens included.
        token_budget: Most tokens in a batch, padding included; a single longer text still forms a batch.
        workers: How many batches run at the same time. Towards the end batches get smaller, so that all finish at
            about the same time.
        max_length: The longest sequence there can be; lengths are rounded up to a bucket, at most to this.

    Source: Polychronopoulos and Kuck 1987, Guided Self-Scheduling, for the sizes of the last batches.
    """
    order = sorted(range(len(sequences)), key=lambda position: -len(sequences[position]))
    remaining = sum(map(len, sequences))
    start = 0
    while start < len(order):
        length = bucket_length(len(sequences[order[start]]), max_length)
        budget = min(token_budget, max(MIN_BUDGET, remaining // (2 * workers))) if workers > 1 else token_budget
        positions = order[start : start + fitting_rows(length, budget)]
        start += len(positions)
        remaining -= sum(len(sequences[position]) for position in positions)
        yield padded_batch(sequences, positions, length)


def single_batch(sequence: IntArray, max_length: int = 512) -> Batch:
    """Return the batch of one token sequence."""
    return padded_batch([sequence], [0], bucket_length(len(sequence), max_length))


def fitting_rows(length: int, token_budget: int) -> int:
    """Return how many rows of a length a batch has at most: a usual number, and one even of a row over the budget.

    >>> [fitting_rows(length, 512) for length in (12, 100, 600)]
    [40, 5, 1]
    """
    return _BATCH_SIZES[bisect_right(_BATCH_SIZES, max(1, token_budget // length)) - 1]


def bucket_length(length: int, max_length: int = 512) -> int:
    """Round a length up to the next bucket, of which there are eight to a doubling.

    >>> [bucket_length(n) for n in (7, 33, 101, 250)]
    [7, 36, 104, 256]
    """
    if length > _LENGTHS[-1]:
        return max_length
    return max(length, min(_LENGTHS[bisect_left(_LENGTHS, length)], max_length))


def padded_batch(sequences: Sequence[IntArray], positions: Sequence[int], length: int) -> Batch:
    """Return the batch of the sequences at these positions, padded to a length and to a usual number of rows."""
    rows = _BATCH_SIZES[bisect_left(_BATCH_SIZES, len(positions))]
    input_ids = np.zeros((rows, length), dtype=np.int32)
    attention_mask = np.zeros((rows, length), dtype=np.int32)
    attention_mask[len(positions) :, 0] = 1
    for row, position in enumerate(positions):
        sequence = sequences[position]
        input_ids[row, : len(sequence)] = sequence
        attention_mask[row, : len(sequence)] = 1
    return Batch(tuple(positions), input_ids, attention_mask)
