"""The self-check: right engines pass, wrong ones are replaced or refused, and the answer is remembered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.engines import cache, quantized_graph, self_check
from minilm_retrieval.engines.openvino_graph import GraphBuilder
from minilm_retrieval.errors import EngineError, PrecisionWarning
from minilm_retrieval.model import load_model


@pytest.fixture(autouse=True)
def verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory, and no engines left from other tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_cache", cache._Cache())
    return tmp_path / "cache" / "minilm-retrieval" / "self-check.json"


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The precisions of the checks that were really run."""
    run: list[str] = []
    original = self_check.SelfCheck.vectors

    def watched(check: self_check.SelfCheck, engine: self_check.Run) -> Any:
        run.append(check.precision)
        return original(check, engine)

    monkeypatch.setattr(self_check.SelfCheck, "vectors", watched)
    return run


def break_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make 8-bit weights mean something else than they should."""
    original = quantized_graph.quantize

    def wrong(weight: Any) -> Any:
        quantized, scale = original(weight)
        return np.roll(quantized, 1, axis=0), scale

    monkeypatch.setattr(quantized_graph, "quantize", wrong)


def break_layer_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    original = GraphBuilder.gained
    monkeypatch.setattr(
        GraphBuilder, "gained", lambda graph, tensor, norm: original(graph, tensor, "embeddings.LayerNorm")
    )


def test_pinned_vectors_are_those_of_the_reference(reference: Any) -> None:
    pinned = np.load(self_check.GOLDEN)
    length, reference.max_seq_length = reference.max_seq_length, self_check.MAX_TOKENS
    try:
        assert np.abs(pinned - reference.encode(list(self_check.TEXTS))).max() <= 1e-5
    finally:
        reference.max_seq_length = length


def test_the_texts_differ_in_length_and_one_is_cut() -> None:
    counts = [load_model().tokenizer.count(text) for text in self_check.TEXTS]
    assert counts[0] < 5 < counts[1] < self_check.MAX_TOKENS < counts[2]


def test_each_form_is_checked_once_and_remembered(embedder: MiniLMEmbedder, checks: list[str], verdicts: Path) -> None:
    many = [f"text number {number} " * 20 for number in range(40)]
    for _ in range(2):
        again = MiniLMEmbedder(threads=2)
        again.encode("a text")
        again.encode(many[0])
        again.encode(many)
        again.close()
    assert checks == ["float32"] * 3, "a short text, one stream, and several"
    assert list(json.loads(verdicts.read_text()).values()) == [True] * 3


def test_a_wrong_reduced_precision_goes_on_in_float32_and_says_so(
    embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch, checks: list[str], verdicts: Path
) -> None:
    break_int8(monkeypatch)
    with pytest.warns(
        PrecisionWarning, match=r"int8 fails, or gives vectors.*delete .*self-check\.json\. Going on in float32"
    ):
        vector = MiniLMEmbedder(precision="int8", threads=2).encode("a text")
    assert np.abs(vector - embedder.encode("a text")).max() <= 1e-6
    assert checks == ["int8", "float32", "float32"], "its replacement takes any text, the other engine a short one"

    monkeypatch.setattr(cache, "_cache", cache._Cache())
    with pytest.warns(PrecisionWarning, match="Going on in float32"):
        MiniLMEmbedder(precision="int8", threads=2).encode("a text")
    assert len(checks) == 3, "the verdict of the first time holds"


def test_a_wrong_float32_is_an_error(embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch, verdicts: Path) -> None:
    break_layer_norm(monkeypatch)
    with pytest.raises(EngineError, match=r"float32 fails, or gives vectors on this processor .* Use backend='torch'"):
        MiniLMEmbedder(threads=2).encode("a text")


def test_another_models_reduced_precision_is_compared_with_its_own_float32(
    small_model: SmallModel, monkeypatch: pytest.MonkeyPatch, checks: list[str], verdicts: Path
) -> None:
    directory = small_model.write()
    MiniLMEmbedder(directory, threads=2).encode("a text")
    assert checks == [], "nothing is known of its float32"
    MiniLMEmbedder(directory, threads=2, precision="int8").encode("a text")
    assert checks == ["int8", "int8"]
    break_int8(monkeypatch)
    verdicts.unlink()
    monkeypatch.setattr(cache, "_cache", cache._Cache())
    with pytest.warns(PrecisionWarning):
        MiniLMEmbedder(directory, threads=2, precision="int8").encode("a text")
    assert verdicts.exists()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"key": 3}', "\x00"])
def test_a_damaged_file_is_written_anew(
    embedder: MiniLMEmbedder, verdicts: Path, checks: list[str], content: str
) -> None:
    verdicts.parent.mkdir(parents=True)
    verdicts.write_text(content)
    MiniLMEmbedder(threads=2).encode("a text")
    assert checks == ["float32"]
    assert list(json.loads(verdicts.read_text()).values()) == [True]
    assert [file.name for file in verdicts.parent.iterdir()] == [verdicts.name]


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    embedder: MiniLMEmbedder, verdicts: Path, checks: list[str]
) -> None:
    verdicts.parent.parent.mkdir(parents=True)
    verdicts.parent.write_text("a file where the directory should be")
    for _ in range(2):
        again = MiniLMEmbedder(threads=2)
        again.encode("a text")
        again.close()
    assert checks == ["float32", "float32"]


def test_torch_is_checked_too(
    embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch, checks: list[str], verdicts: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    monkeypatch.setitem(self_check.LEAST_COSINE, "bfloat16", 1.1)
    with pytest.warns(PrecisionWarning, match=r"torch .* on cpu in bfloat16 .* Going on in float32"):
        vector = MiniLMEmbedder(backend="torch", device="cpu", precision="bfloat16").encode("a text")
    assert checks == ["bfloat16", "float32"]
    assert np.abs(vector - embedder.encode("a text")).max() <= 1e-5
    monkeypatch.setitem(self_check.LEAST_COSINE, "float32", 1.1)
    verdicts.unlink()
    with pytest.raises(EngineError, match="Use backend='openvino'"):
        MiniLMEmbedder(backend="torch", device="cpu").encode("a text")


def test_a_reduced_precision_that_fails_goes_on_in_float32_too(
    embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, *arguments: object) -> None:
        raise RuntimeError("no primitive for 8-bit weights")

    monkeypatch.setattr(quantized_graph.QuantizedGraphBuilder, "build", refuse)
    with pytest.warns(PrecisionWarning, match="Going on in float32"):
        vector = MiniLMEmbedder(precision="int8", threads=2).encode("a text")
    assert np.abs(vector - embedder.encode("a text")).max() <= 1e-6


def test_when_the_second_form_fails_the_first_is_given_up_as_well(
    embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    int8 = MiniLMEmbedder(precision="int8", threads=2, on_truncate="ignore")
    exact = embedder.encode("a text")
    assert np.abs(int8.encode("a text") - exact).max() > 1e-4
    break_int8(monkeypatch)
    with pytest.warns(PrecisionWarning, match="Going on in float32"):
        int8.encode([f"text number {number} " * 20 for number in range(40)])
    assert np.abs(int8.encode("a text") - exact).max() <= 1e-6


def test_another_release_asks_again(
    embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch, checks: list[str]
) -> None:
    for version in ("1.0", "1.0", "1.1"):
        monkeypatch.setattr(self_check, "__version__", version)
        again = MiniLMEmbedder(threads=2)
        again.encode("a text")
        again.close()
    assert checks == ["float32", "float32"]


def test_a_user_without_a_home_is_checked_every_time(
    embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch, checks: list[str]
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    break_int8(monkeypatch)
    with pytest.warns(PrecisionWarning, match=r"by more than rounding\. Going on in float32"):
        MiniLMEmbedder(precision="int8", threads=2).encode("a text")
    assert checks == ["int8", "float32"]


def test_vectors_that_are_not_finite_fail() -> None:
    pinned = np.load(self_check.GOLDEN)
    broken = pinned.copy()
    broken[1, 3] = np.nan
    assert self_check.worst_cosine(pinned, pinned) == pytest.approx(1)
    assert self_check.worst_cosine(broken, pinned) == -1
