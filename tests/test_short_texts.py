"""The graph for a single short text: the same vectors as the one for everything else, and only for what fits it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.batching import Batch, bucket_length, padded_batch, single_batch
from minilm_retrieval.engines import cache, get_engine
from minilm_retrieval.engines.openvino import Form, OpenVINOEngine
from minilm_retrieval.engines.short_texts import SHORT_LENGTH, short_inputs
from minilm_retrieval.tokenizer import IntArray


def sequence(length: int) -> IntArray:
    """Return distinct tokens between the two special ones."""
    return np.array([101, *range(2000, 2000 + length - 2), 102], dtype=np.int32)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> MiniLMEmbedder:
    """An embedder of whose engine nothing is compiled yet."""
    monkeypatch.setattr(cache, "_cache", cache._Cache())
    return MiniLMEmbedder(threads=2)


def forms(embedder: MiniLMEmbedder) -> set[Form]:
    """What an embedder's engine has compiled."""
    engine = get_engine(embedder._engine_key, embedder, embedder._model)
    assert isinstance(engine, OpenVINOEngine)
    return set(engine._requests)


@pytest.mark.parametrize("length", range(2, SHORT_LENGTH + 5))
def test_alone_as_in_a_batch(length: int) -> None:
    embedder = MiniLMEmbedder(threads=2)
    engine = get_engine(embedder._engine_key, embedder, embedder._model)
    tokens = sequence(length)
    alone = next(iter(engine.embed([single_batch(tokens)])))
    twice = next(iter(engine.embed([padded_batch([tokens, sequence(40)], [0, 1], bucket_length(40))])))
    assert alone.shape == (1, 384)
    assert np.abs(alone[0] - twice[0]).max() <= 1e-6


@pytest.mark.parametrize("length", [2, SHORT_LENGTH - 1, SHORT_LENGTH, SHORT_LENGTH + 1, 100])
def test_only_a_single_short_text_is_filled_up(length: int) -> None:
    batch = single_batch(sequence(length))
    input_ids, attention_mask = short_inputs(batch)
    assert input_ids.shape == attention_mask.shape == (1, max(SHORT_LENGTH, batch.input_ids.shape[1]))
    assert input_ids[0, attention_mask[0] == 1].tolist() == sequence(length).tolist()
    several = Batch((0, 1), np.tile(batch.input_ids, (2, 1)), np.tile(batch.attention_mask, (2, 1)))
    assert [array.shape for array in short_inputs(several)] == [several.input_ids.shape] * 2


def test_a_model_of_fewer_positions_has_no_such_graph(small_model: SmallModel) -> None:
    directory = small_model.write(max_position_embeddings=SHORT_LENGTH - 4)
    small_model.write_json("sentence_bert_config.json", {"max_seq_length": SHORT_LENGTH - 4, "do_lower_case": False})
    embedder = MiniLMEmbedder(model=directory, threads=2)
    texts = ["a", "a b c", "a b c a b c a b c"]
    together = embedder.encode(texts)
    alone = np.array([embedder.encode(text) for text in texts])
    assert np.abs(alone - together).max() <= 1e-6


def test_a_first_short_text_compiles_nothing_else_and_gets_the_same_vector_later(fresh: MiniLMEmbedder) -> None:
    first = fresh.encode("a short text")
    assert forms(fresh) == {Form.SHORT}
    fresh.encode("a longer text " * 20)
    assert forms(fresh) == {Form.PADDED}, "which has the short one's graph, so that weights are in memory once"
    assert np.abs(fresh.encode("a short text") - first).max() <= 1e-6
    assert forms(fresh) == {Form.PADDED}


def test_warming_up_compiles_nothing_that_is_dropped_again(
    fresh: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Form] = []
    original = OpenVINOEngine._compile

    def watched(engine: OpenVINOEngine, precision: str, form: Form) -> object:
        compiled.append(form)
        return original(engine, precision, form)

    monkeypatch.setattr(OpenVINOEngine, "_compile", watched)
    fresh.warmup()
    assert compiled == [Form.PADDED, Form.PACKED]


def test_short_texts_that_run_while_their_graph_is_replaced(fresh: MiniLMEmbedder) -> None:
    short = [f"number {number}" for number in range(8)]
    expected = [fresh.encode(text) for text in short]
    assert forms(fresh) == {Form.SHORT}
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(fresh.encode, short[number % 8]) for number in range(400)]
        pool.submit(fresh.encode, "a longer text " * 20).result()
    assert forms(fresh) == {Form.PADDED}
    for number, vector in enumerate(running):
        assert np.abs(vector.result() - expected[number % 8]).max() <= 1e-6
