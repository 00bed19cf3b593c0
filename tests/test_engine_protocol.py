"""What every engine does with batches: one array each, in order, in bounded memory, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_texts import topic_texts
from small_models import SmallModel
from subprocesses import run_python

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.batching import Batch, make_batches
from minilm_retrieval.engines import Engine, get_engine
from minilm_retrieval.engines.engine import CPU_TOKENS
from minilm_retrieval.model import load_model


@pytest.fixture(scope="session")
def engine(
    engine_options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, standard_directory: Path
) -> Iterator[Engine]:
    """Each engine, with a small model: what is held here does not depend on what the numbers are."""
    directory = SmallModel(tmp_path_factory.mktemp("small") / "model", standard_directory).write()
    with MiniLMEmbedder(directory, threads=2, **engine_options) as embedder:
        yield get_engine(embedder._engine_key, embedder, embedder._model)


def batches_of(texts: list[str]) -> list[Batch]:
    tokenizer = load_model().tokenizer
    return list(make_batches([tokenizer.tokenize(text, 64).ids for text in texts], 64, 2, 64))


def test_one_array_a_batch_in_their_order(engine: Engine) -> None:
    batches = batches_of(topic_texts(60, 24))
    assert len(batches) > 4
    arrays = list(engine.embed(iter(batches)))
    assert len(arrays) == len(batches)
    for batch, array in zip(batches, arrays, strict=True):
        assert array.shape == (len(batch.input_ids), 32)
        assert array.dtype == np.float32
        assert np.abs(array - next(iter(engine.embed([batch])))).max() <= 1e-6


def test_batches_are_taken_as_there_is_room(engine: Engine) -> None:
    batches = batches_of(topic_texts(300, 24))
    assert len(batches) > 40
    taken = 0

    def watched(batches: Iterable[Batch]) -> Iterator[Batch]:
        nonlocal taken
        for batch in batches:
            taken += 1
            yield batch

    for given, _ in enumerate(engine.embed(watched(batches)), 1):
        assert taken <= given + 4
    assert taken == len(batches)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_torch_without_a_gpu_has_batches_for_a_processor(small_model: SmallModel, device: str | None) -> None:
    pytest.importorskip("sentence_transformers")
    torch = pytest.importorskip("torch")
    if device is None and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        pytest.skip("there is a GPU that torch can use")
    with MiniLMEmbedder(small_model.write(), backend="torch", device=device) as embedder:
        assert embedder.pipeline().token_budget == CPU_TOKENS


def test_no_batches_no_arrays(engine: Engine) -> None:
    assert list(engine.embed([])) == []


def test_arrays_stay_what_they_were(engine: Engine) -> None:
    """An array is the caller's own, not a view of memory that the next batch writes to."""
    batches = batches_of(topic_texts(60, 24))
    kept = [(array, array.copy()) for array in engine.embed(batches)]
    list(engine.embed(reversed(batches)))
    assert all((array == copy).all() for array, copy in kept)


def test_a_caller_that_stops_early_leaves_the_engine_usable(engine: Engine) -> None:
    batches = batches_of(topic_texts(60, 24))
    expected = next(iter(engine.embed(batches)))
    for _ in range(6):
        stream = engine.embed(iter(batches))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert np.abs(next(iter(engine.embed(batches))) - expected).max() <= 1e-6
    assert len(list(engine.embed(batches))) == len(batches)


def test_an_error_in_the_callers_batches_leaves_the_engine_usable(engine: Engine) -> None:
    batches = batches_of(topic_texts(60, 24))

    def failing() -> Iterator[Batch]:
        yield from batches[:4]
        raise KeyError("the caller's own mistake")

    errors = []
    for _ in range(6):
        with pytest.raises(KeyError) as caught:
            list(engine.embed(failing()))
        errors.append(caught.value)
    assert len(list(engine.embed(batches))) == len(batches)


def test_a_batch_that_fails_is_an_engine_error_and_nobody_waits_for_ever(small_model: SmallModel) -> None:
    """In a process of its own, since a request that was lost would make every later call wait for ever."""
    output = run_python(
        """
        import sys
        import numpy as np
        from minilm_retrieval import MiniLMEmbedder
        from minilm_retrieval.batching import Batch
        from minilm_retrieval.engines import get_engine
        from minilm_retrieval.engines.openvino import Form
        from minilm_retrieval.errors import EngineError

        embedder = MiniLMEmbedder(sys.argv[1], threads=2)
        engine = get_engine(embedder._engine_key, embedder, embedder._model)
        ones = np.ones((2, 8), dtype=np.int32)
        good, bad = Batch((0, 1), ones, ones), Batch((0, 1), ones, ones)
        for form in (Form.PADDED, Form.PACKED):
            requests = engine._compiled(form)
            inputs = requests._inputs

            def broken(batch, inputs=inputs):
                first, second, *others = inputs(batch)
                return [first, second[..., :-1].copy() if batch is bad else second, *others]

            requests._inputs = broken
        raised = 0
        for batches in [[bad], [good, bad, good], [good, good, good, bad], [bad, bad]] * 3:
            try:
                list(engine.embed(batches))
            except EngineError:
                raised += 1
        print(raised)
        """,
        str(small_model.write()),
        timeout=30,
    )
    assert output.strip() == "12"
