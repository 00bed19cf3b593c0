"""Packed batches: every token once and where it belongs, no other computed but for filling up, and the same vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sample_texts import topic_texts

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.batching import Batch, bucket_length, make_batches, padded_batch
from minilm_retrieval.engines import get_engine
from minilm_retrieval.engines.layouts import PackedLayout, PaddedLayout, attention_length

lengths = st.lists(st.integers(2, 256), min_size=1, max_size=40)


def batch_of(wanted: Sequence[int]) -> Batch:
    """Return a batch of sequences of these lengths, in which no token occurs twice."""
    sequences = [np.arange(length, dtype=np.int32) + 1000 * row for row, length in enumerate(wanted, 1)]
    return padded_batch(sequences, range(len(wanted)), bucket_length(max(wanted), 256))


@given(lengths)
def test_every_token_is_packed_once_with_its_position(wanted: list[int]) -> None:
    batch = batch_of(wanted)
    input_ids, position_ids, *_ = PackedLayout.inputs(batch)
    tokens = int(batch.attention_mask.sum())
    assert tokens <= len(input_ids) < tokens + 8
    assert input_ids[:tokens].tolist() == batch.input_ids[batch.attention_mask == 1].tolist()
    own = [position for length in batch.attention_mask.sum(axis=1) for position in range(length)]
    assert position_ids[:tokens].tolist() == own


@given(lengths)
def test_rows_and_back(wanted: list[int]) -> None:
    batch = batch_of(wanted)
    input_ids, _, mask, token_of_place, place_of_token = PackedLayout.inputs(batch)
    rows = input_ids[token_of_place]
    width = rows.shape[1]
    assert width == attention_length(max(wanted))
    for row, length in enumerate(wanted):
        assert rows[row, :length].tolist() == batch.input_ids[row, :length].tolist()
        assert mask[row].tolist() == [1] * length + [0] * (width - length)
    tokens = int(batch.attention_mask.sum())
    assert rows.ravel()[place_of_token][:tokens].tolist() == input_ids[:tokens].tolist()


@given(lengths)
def test_the_runtime_can_read_the_inputs_in_place(wanted: list[int]) -> None:
    for layout in (PackedLayout, PaddedLayout):
        for array in layout.inputs(batch_of(wanted)):
            assert array.dtype == np.int32
            assert array.flags.c_contiguous


@given(st.integers(1, 512))
def test_attention_lengths_are_few_and_never_cut(length: int) -> None:
    padded = attention_length(length)
    assert length <= padded < length + 16
    assert attention_length(padded) == padded


def test_packed_and_padded_vectors_are_the_same() -> None:
    """The same batches through both forms of the engine, with lengths mixed as sorting never mixes them."""
    embedder = MiniLMEmbedder(threads=2, on_truncate="ignore")
    texts = topic_texts(40, 60)
    texts[::3] = [text[: 5 + number] for number, text in enumerate(texts[::3])]
    sequences = [embedder.tokenizer.tokenize(text, 256).ids for text in texts]
    mixed = [padded_batch(sequences[start:][:8], range(8), 256) for start in range(0, 40, 8)]
    batches = [*mixed, *make_batches(sequences, 512, 2, 256)]
    engine = get_engine(embedder._engine_key, embedder, embedder._model)
    packed = list(engine.embed(batches))
    for batch, vectors in zip(batches, packed, strict=True):
        alone = next(iter(engine.embed([batch])))
        used = len(batch.positions)
        assert np.abs(vectors[:used] - alone[:used]).max() <= 1e-6
