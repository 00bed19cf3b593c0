from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilm_retrieval.batching import Batch, bucket_length, make_batches
from minilm_retrieval.tokenizer import IntArray

lengths = st.lists(st.integers(2, 256), max_size=300)


def sequences_of(wanted: Sequence[int]) -> list[IntArray]:
    """Return sequences of these lengths that are all different and hold no zero."""
    return [np.arange(1, length + 1, dtype=np.int32) + 1000 * number for number, length in enumerate(wanted)]


def check(batch: Batch, sequences: Sequence[IntArray]) -> None:
    """Fail unless the batch holds exactly its sequences, padded on the right."""
    rows, length = batch.input_ids.shape
    assert batch.attention_mask.shape == (rows, length)
    assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int32
    assert batch.input_ids.flags.c_contiguous
    assert batch.attention_mask.flags.c_contiguous
    assert 1 <= len(batch.positions) <= rows
    for row, position in enumerate(batch.positions):
        own = len(sequences[position])
        assert batch.input_ids[row, :own].tolist() == sequences[position].tolist()
        assert not batch.input_ids[row, own:].any()
        assert batch.attention_mask[row].tolist() == [1] * own + [0] * (length - own)
    filling = batch.attention_mask[len(batch.positions) :]
    assert (filling.sum(axis=1) == 1).all(), "a row without any token would give a mean over nothing"


@given(lengths, st.integers(64, 4096), st.integers(1, 16))
def test_every_text_is_in_exactly_one_batch(wanted: list[int], budget: int, workers: int) -> None:
    sequences = sequences_of(wanted)
    batches = list(make_batches(sequences, budget, workers, 256))
    assert sorted(position for batch in batches for position in batch.positions) == list(range(len(wanted)))
    for batch in batches:
        check(batch, sequences)


@given(lengths, st.integers(256, 4096), st.integers(1, 16))
def test_no_batch_exceeds_the_budget(wanted: list[int], budget: int, workers: int) -> None:
    for batch in make_batches(sequences_of(wanted), budget, workers, 256):
        assert batch.input_ids.size <= budget or len(batch.positions) == 1


@given(lengths, st.integers(1, 8))
def test_longest_first(wanted: list[int], workers: int) -> None:
    order = [
        wanted[position] for batch in make_batches(sequences_of(wanted), 1024, workers) for position in batch.positions
    ]
    assert order == sorted(wanted, reverse=True)


def test_shapes_come_from_a_small_set() -> None:
    """Every new shape costs an engine memory that it keeps."""
    chance = np.random.default_rng(0)
    shapes = set()
    for _ in range(500):
        wanted = np.exp(chance.uniform(np.log(3), np.log(256), chance.integers(1, 400))).astype(int)
        shapes |= {batch.input_ids.shape for batch in make_batches(sequences_of(wanted.tolist()), 384, 2, 256)}
    assert len({length for _, length in shapes}) <= 80
    assert len({rows for rows, _ in shapes}) <= 30
    assert len(shapes) <= 500


@given(lengths.filter(bool), st.integers(1, 8))
def test_padding_is_low(wanted: list[int], workers: int) -> None:
    batches = list(make_batches(sequences_of(wanted * 20), 1024, workers, 256))
    assert sum(batch.input_ids.size for batch in batches) <= 1.35 * 20 * sum(wanted) + 1024


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_little_work_is_shared_by_all_workers(workers: int) -> None:
    batches = list(make_batches(sequences_of([128] * 4 * workers), 1024, workers, 256))
    loads = [0] * workers
    for batch in batches:
        loads[loads.index(min(loads))] += len(batch.positions)
    assert max(loads) - min(loads) <= 1


def test_very_little_work_is_one_batch() -> None:
    assert len(list(make_batches(sequences_of([8] * 16), 1024, 8, 256))) == 1


def test_nothing_to_do() -> None:
    assert list(make_batches([], 1024)) == []


@given(st.integers(1, 600), st.integers(3, 600))
def test_buckets_never_cut_and_never_exceed_the_models_length(length: int, longest: int) -> None:
    length = min(length, longest)
    bucket = bucket_length(length, longest)
    assert length <= bucket <= longest


@given(st.integers(1, 512))
def test_buckets_are_near_and_rise(length: int) -> None:
    assert bucket_length(length) - length < max(2, length / 6)
    assert bucket_length(bucket_length(length)) == bucket_length(length)
    assert bucket_length(length) <= bucket_length(min(length + 1, 512))
