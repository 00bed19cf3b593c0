"""Engines: loaded when needed, shared by the process, freed with their last user."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_texts import topic_texts
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.cpu import allowed_processors
from minilm_retrieval.engines import EngineKey, close_engine, get_engine
from minilm_retrieval.errors import EngineError
from minilm_retrieval.model import load_model


class Counter:
    """Wraps a function and counts its calls."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return self.function(*arguments, **options)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts how often weights are read, which each engine does once."""
    from minilm_retrieval.model import Model

    counter = Counter(Model.weights)
    monkeypatch.setattr(Model, "weights", lambda model: counter(model))
    return counter


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts what OpenVINO compiles."""
    import openvino

    counter = Counter(openvino.Core.compile_model)
    monkeypatch.setattr(openvino.Core, "compile_model", lambda *arguments: counter(*arguments))
    return counter


def key_of(embedder: MiniLMEmbedder) -> EngineKey:
    return embedder._engine_key


def test_equal_options_share_one_engine(small_model: SmallModel, builds: Counter, compilations: Counter) -> None:
    directory = small_model.write()
    first = MiniLMEmbedder(directory, threads=2, max_seq_length=128)
    second = MiniLMEmbedder(str(directory), threads=2, on_truncate="ignore")
    many = [f"text {number} " * 30 for number in range(50)]
    for embedder in (first, second, first):
        embedder.encode("text")
        embedder.encode(many)
    assert builds.calls == 1
    assert compilations.calls == 2, "once for latency and once for throughput"
    assert get_engine(key_of(first), first, first._model) is get_engine(key_of(second), second, second._model)


def test_a_quiet_twin_uses_the_same_engine_and_may_outlive_it(small_model: SmallModel, builds: Counter) -> None:
    embedder = MiniLMEmbedder(small_model.write())
    embedder.encode("text")
    twin = embedder.quietly()
    twin.encode("text")
    embedder.close()
    assert twin.encode("text").shape == (32,)
    assert builds.calls == 1


def test_threads_that_come_first_together_build_one_engine(small_model: SmallModel, builds: Counter) -> None:
    directory = small_model.write()
    start = threading.Barrier(16)

    def work() -> None:
        embedder = MiniLMEmbedder(directory)
        start.wait()
        embedder.encode("text")

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds.calls == 1


def test_other_options_get_other_engines(small_model: SmallModel, builds: Counter) -> None:
    directory = small_model.write()
    options: list[dict[str, Any]] = [{"threads": 1}, {"threads": 2}, {"threads": 1, "normalize": False}]
    embedders = [MiniLMEmbedder(directory, **chosen) for chosen in options]
    vectors = [embedder.encode("text") for embedder in embedders]
    assert builds.calls == 3
    assert np.abs(vectors[0] - vectors[1]).max() <= 1e-6
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


def test_nothing_is_loaded_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("something was loaded")

    monkeypatch.setattr("minilm_retrieval.embedder.load_model", refuse)
    monkeypatch.setattr("minilm_retrieval.embedder.get_engine", refuse)
    embedder = MiniLMEmbedder(max_seq_length=128, threads=1)
    assert repr(embedder)
    assert embedder.is_standard
    with pytest.raises(AssertionError, match="something was loaded"):
        embedder.encode("text")


def test_facts_and_counts_need_no_engine(monkeypatch: pytest.MonkeyPatch, standard_directory: Path) -> None:
    monkeypatch.setattr("minilm_retrieval.embedder.get_engine", None)
    embedder = MiniLMEmbedder()
    assert (embedder.dimension, embedder.max_seq_length, embedder.count_tokens(["a"])) == (384, 256, [3])
    assert len(embedder.fingerprint) == 32


def test_closing_the_last_user_frees_the_engine(small_model: SmallModel) -> None:
    directory = small_model.write()
    first, second = MiniLMEmbedder(directory), MiniLMEmbedder(directory)
    first.encode("text")
    second.encode("text")
    engine = weakref.ref(get_engine(key_of(first), first, first._model))
    first.close()
    gc.collect()
    assert engine() is not None, "the second still uses it"
    assert second.encode("text").shape == (32,)
    second.close()
    gc.collect()
    assert engine() is None


def test_an_embedder_that_was_dropped_without_close_is_no_user(small_model: SmallModel) -> None:
    directory = small_model.write()
    kept, dropped = MiniLMEmbedder(directory), MiniLMEmbedder(directory)
    kept.encode("text")
    dropped.encode("text")
    engine = weakref.ref(get_engine(key_of(kept), kept, kept._model))
    del dropped
    gc.collect()
    kept.close()
    gc.collect()
    assert engine() is None


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "dropped"])
def test_of_many_models_in_turn_the_last_few_stay(tmp_path: Path, standard_directory: Path, closed: bool) -> None:
    """As when every checkpoint of a training is evaluated: memory must not grow with their number."""
    models, engines = [], []
    for number in range(9):
        embedder = MiniLMEmbedder(SmallModel(tmp_path / str(number), standard_directory).write(seed=number))
        embedder.encode("text")
        models.append(weakref.ref(embedder._model))
        engines.append(weakref.ref(embedder.pipeline().engine))
        if closed:
            embedder.close()
        del embedder
    gc.collect()
    assert [model() is not None for model in models[-4:]] == [True] * 4, "not read again when asked for again"
    assert [model() for model in models[:4]] == [None] * 4
    assert [engine() is not None for engine in engines[-4:]] == [not closed] * 4
    assert [engine() for engine in engines[:4]] == [None] * 4


def test_a_model_in_use_is_not_loaded_twice_whatever_comes_after(tmp_path: Path, standard_directory: Path) -> None:
    embedder = MiniLMEmbedder(SmallModel(tmp_path / "used", standard_directory).write())
    model = embedder._model
    for number in range(6):
        load_model(SmallModel(tmp_path / str(number), standard_directory).write(seed=number))
    assert load_model(embedder.model_name) is model


def test_close_is_for_this_embedder_only_and_for_ever(small_model: SmallModel, builds: Counter) -> None:
    directory = small_model.write()
    with MiniLMEmbedder(directory) as embedder:
        embedder.encode("text")
    embedder.close()
    for call in (
        lambda: embedder.encode("text"),
        lambda: embedder.encode(["text"]),
        lambda: next(embedder.encode_stream(["text"])),
        embedder.warmup,
    ):
        with pytest.raises(EngineError, match=r"closed\. Make a new one"):
            call()
    assert MiniLMEmbedder(directory).encode("text").shape == (32,)
    assert builds.calls == 2


def test_closing_what_was_never_used_does_nothing(small_model: SmallModel, builds: Counter) -> None:
    MiniLMEmbedder(small_model.write()).close()
    close_engine(EngineKey("nobody/s", "openvino", "cpu", "float32", 1, True), object())
    assert builds.calls == 0


def test_closing_while_a_stream_runs_does_not_break_the_stream(small_model: SmallModel) -> None:
    embedder = MiniLMEmbedder(small_model.write(), on_truncate="ignore")
    texts = topic_texts(9000, 6)
    stream = embedder.encode_stream(texts)
    got = [next(stream)]
    embedder.close()
    got.extend(stream)
    assert sum(len(vectors) for _, vectors in got) == 9000


def test_warmup_leaves_nothing_to_compile(small_model: SmallModel, compilations: Counter) -> None:
    embedder = MiniLMEmbedder(small_model.write(), threads=2)
    embedder.warmup()
    before = compilations.calls
    embedder.encode("text")
    embedder.encode([f"text {number} " * 30 for number in range(200)])
    assert compilations.calls == before


@pytest.mark.skipif(len(allowed_processors()) < 2, reason="one processor")
def test_fewer_threads_than_processors_hold_on_to_none(
    small_model: SmallModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    pinned: list[bool] = []
    compile_model = openvino.Core.compile_model

    def noting(core: Any, graph: Any, device: str, options: dict[str, Any]) -> Any:
        compiled = compile_model(core, graph, device, options)
        pinned.append(compiled.get_property("ENABLE_CPU_PINNING"))
        return compiled

    monkeypatch.setattr(openvino.Core, "compile_model", noting)
    with MiniLMEmbedder(small_model.write(), threads=1) as embedder:
        embedder.encode(["one text", "another"])
    assert pinned
    assert not any(pinned)


def test_an_engine_is_made_where_no_thread_can_be_started(
    small_model: SmallModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    assert MiniLMEmbedder(small_model.write(), threads=1).encode("a text").shape == (32,)
