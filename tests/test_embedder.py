"""What ``encode`` promises about shapes, order, duplicates and errors, with a fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_engine import FakeEngine, fake_vector
from hypothesis import given
from hypothesis import strategies as st

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import EngineError, InvalidTextError
from minilm_retrieval.model import load_model

words = st.text(st.sampled_from("ab cd\ufffd\ud800"), max_size=12)


def expected(texts: list[str], length: int = 256) -> np.ndarray:
    """Return the fake engine's vectors, each made for its text alone."""
    tokenizer = load_model().tokenizer
    rows = [fake_vector(tokenizer.tokenize(text, length).ids) for text in texts]
    return np.stack(rows) if rows else np.zeros((0, 384), np.float32)


def test_one_text_is_a_vector_and_a_list_is_rows(fake_engine: FakeEngine) -> None:
    embedder = MiniLMEmbedder()
    one, rows = embedder.encode("a text"), embedder.encode(["a text", "another"])
    assert one.shape == (384,)
    assert rows.shape == (2, 384)
    assert (rows[0] == one).all()
    for array in (one, rows, embedder.encode(["one"]), embedder.encode(["a", "a"])):
        assert type(array) is np.ndarray
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.flags.owndata or array.base is not None


@pytest.mark.parametrize("nothing", [[], (), np.array([], dtype=str), iter(())])
def test_no_texts_no_rows(fake_engine: FakeEngine, nothing: Any) -> None:
    result = MiniLMEmbedder().encode(nothing)
    assert result.shape == (0, 384)
    assert result.dtype == np.float32
    assert fake_engine.rows == 0


@given(texts=st.lists(words, max_size=40), chunk=st.integers(1, 9), characters=st.integers(1, 60))
def test_every_text_gets_its_own_vector_at_its_own_place(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, texts: list[str], chunk: int, characters: int
) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", chunk)
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_CHARACTERS", characters)
    embedder = MiniLMEmbedder(threads=3, max_seq_length=8, on_truncate="ignore")
    assert (embedder.encode(texts) == expected(texts, 8)).all()
    streamed = list(embedder.encode_stream(iter(texts)))
    assert [text for part, _ in streamed for text in part] == texts
    for part, vectors in streamed:
        assert (vectors == expected(part, 8)).all()


def test_mixed_lengths_come_back_in_order(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._FIRST_CHARACTERS", 2**30)
    chance = np.random.default_rng(0)
    texts = [f"{number} " + "word " * int(chance.integers(0, 300)) for number in range(150)]
    embedder = MiniLMEmbedder(on_truncate="ignore")
    assert (embedder.encode(texts) == expected(texts)).all()
    lengths = [batch.input_ids.shape[1] for batch in fake_engine.batches]
    assert lengths == sorted(lengths, reverse=True), "the fake engine is to see another order than the caller's"


def test_equal_texts_are_computed_once(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a", "b", "a", "c", "b", "a"] * 100
    embedder = MiniLMEmbedder()
    vectors = embedder.encode(texts)
    assert fake_engine.rows == 3
    assert (vectors == expected(["a", "b", "a", "c", "b", "a"] * 100)).all()
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 2)
    embedder.encode(texts)
    assert fake_engine.rows == 6, "also when the call is worked off in many chunks"


def test_rows_of_equal_texts_are_separate_memory(fake_engine: FakeEngine) -> None:
    vectors = MiniLMEmbedder().encode(["same", "same"])
    vectors[0] = 0
    assert vectors[1].any()


def test_a_result_is_the_callers_own(fake_engine: FakeEngine) -> None:
    embedder = MiniLMEmbedder()
    first = embedder.encode("text")
    first[:] = 0
    assert embedder.encode("text").any()


def test_whatever_is_a_sequence_of_texts_is_accepted(fake_engine: FakeEngine) -> None:
    embedder = MiniLMEmbedder()
    rows = embedder.encode(["a", "b"])
    for texts in (("a", "b"), np.array(["a", "b"]), (text for text in "ab"), {"a": 1, "b": 2}.keys()):
        assert (embedder.encode(texts) == rows).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, 3, 2.5, b"bytes", ["list"], float("nan"), Path("x"), True])
@pytest.mark.parametrize("position", [0, 3, 6])
def test_a_wrong_item_is_named_by_every_method(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, wrong: Any, position: int
) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 2)
    texts: list[Any] = list("abacdef")
    texts[position] = wrong
    embedder = MiniLMEmbedder()
    calls: list[Callable[[], Any]] = [
        lambda: embedder.encode(texts),
        lambda: embedder.count_tokens(texts),
        lambda: list(embedder.encode_stream(iter(texts))),
    ]
    for call in calls:
        with pytest.raises(InvalidTextError, match=rf"position {position}, got {type(wrong).__name__}"):
            call()
    assert (embedder.encode(["a"]) == expected(["a"])).all()


def test_a_wrong_item_stops_encode_before_anything_is_computed(fake_engine: FakeEngine) -> None:
    with pytest.raises(InvalidTextError):
        MiniLMEmbedder().encode(["a"] * 50 + [None])  # type: ignore[list-item]
    assert fake_engine.rows == 0


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", object()])
def test_what_is_no_text_and_no_sequence_is_named_by_type(fake_engine: FakeEngine, wrong: Any) -> None:
    embedder = MiniLMEmbedder()
    for call in (embedder.encode, embedder.count_tokens, lambda texts: list(embedder.encode_stream(texts))):
        with pytest.raises(InvalidTextError, match=type(wrong).__name__):
            call(wrong)


@pytest.mark.parametrize("wrong", [{"a text": 1}, np.array("a text")])
def test_what_holds_texts_but_is_no_list_of_them_is_named_by_type(fake_engine: FakeEngine, wrong: Any) -> None:
    for call in (MiniLMEmbedder().encode, MiniLMEmbedder().count_tokens):
        with pytest.raises(InvalidTextError, match=f"Expected a text or a list of texts, got {type(wrong).__name__}"):
            call(wrong)


class Table:
    """As a table of pandas is to those who take texts from it: it gives the names of its columns."""

    ndim = 2

    def __iter__(self) -> Iterator[str]:
        return iter(["text", "author"])


@pytest.mark.parametrize("wrong", [Table(), np.array([["a", "b"]]), {"a text": 1}, np.array("a text")])
def test_a_table_is_not_a_list_of_its_columns_names(fake_engine: FakeEngine, wrong: Any) -> None:
    embedder = MiniLMEmbedder()
    for call in (embedder.encode, embedder.count_tokens, lambda texts: list(embedder.encode_stream(texts))):
        with pytest.raises(InvalidTextError, match=f"^Expected a.* of texts, got {type(wrong).__name__}") as caught:
            call(wrong)
        dimensions = getattr(wrong, "ndim", 1)
        assert (f"of {dimensions} dimensions. Give one column" in str(caught.value)) == (dimensions != 1)
    assert fake_engine.rows == 0


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_vector_that_is_not_finite_is_an_error_with_the_position(fake_engine: FakeEngine, row: int) -> None:
    """The longest comes first, so the rows of the engine are the texts at positions 4, 1 and 0."""
    fake_engine.broken_rows = {row}
    position = [4, 1, 0][row]
    with pytest.raises(EngineError, match=rf"not finite for the text at position {position}: 'w"):
        MiniLMEmbedder().encode(["w", "w w", "w", "w w", "w w w"])


def test_a_vector_that_is_not_finite_in_a_stream(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 2)
    fake_engine.broken_rows = {5}
    with pytest.raises(EngineError, match="not finite for the text at position 5: 'f'"):
        list(MiniLMEmbedder().encode_stream("abcdefg"[number] for number in range(7)))


def test_an_engine_that_gives_too_little_is_an_error(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that no engine filled hold whatever was in memory."""
    whole = fake_engine.embed
    texts = [f"{number} " + "word " * number for number in range(200)]
    monkeypatch.setattr(fake_engine, "embed", lambda batches: list(whole(batches))[:-1])
    with pytest.raises((EngineError, ValueError)):
        MiniLMEmbedder().encode(texts)


def test_count_tokens_counts_before_the_cut(fake_engine: FakeEngine) -> None:
    embedder = MiniLMEmbedder(max_seq_length=8)
    assert embedder.count_tokens(["", "word", "word " * 500, "[CLS]"]) == [2, 3, 502, 3]
    assert embedder.count_tokens("word " * 500) == [502]
    assert embedder.count_tokens([]) == []
    assert fake_engine.rows == 0


@pytest.mark.parametrize("length", [3, 8, 128, 512])
def test_the_length_is_that_of_what_the_engine_sees(fake_engine: FakeEngine, length: int) -> None:
    embedder = MiniLMEmbedder(max_seq_length=length, on_truncate="ignore")
    embedder.encode(["word " * 1000, "a"])
    assert embedder.max_seq_length == length
    assert max(batch.attention_mask.sum(axis=1).max() for batch in fake_engine.batches) == length
