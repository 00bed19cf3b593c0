"""``minilm bench``: what it measures, what it says, and what it does without what it could compare with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minilm_retrieval.bench.contenders import contenders
from minilm_retrieval.bench.measurement import TIMED, Figures, recommendation
from minilm_retrieval.bench.worker_process import WorkerProcess
from minilm_retrieval.cli.main import app
from minilm_retrieval.engines.openvino import has_bfloat16
from minilm_retrieval.errors import BenchmarkError
from minilm_retrieval.model import load_model


def figures(times: float, cosine: float = 1.0) -> Figures:
    return Figures(speedup=dict.fromkeys(TIMED, times), mean_cosine=cosine, worst_cosine=cosine)


def test_the_recommendation_follows_the_figures() -> None:
    exact = figures(1)
    assert recommendation({"float32": exact}).startswith("Stay with float32")
    assert recommendation({"float32": exact, "bfloat16": figures(1.1), "int8": figures(0.7)}).startswith("Stay with")
    both = recommendation({"float32": exact, "bfloat16": figures(1.8, 0.99997), "int8": figures(2.5, 0.9972)})
    assert both.startswith("If speed matters, use precision='int8'")
    assert "bfloat16 embeds 1.8 times" in both
    assert "0.99720 at worst" in both
    near = recommendation({"float32": exact, "bfloat16": figures(1.8, 0.99997), "int8": figures(2.0, 0.9972)})
    assert near.startswith("If speed matters, use precision='bfloat16'"), "the closer of two that are about as fast"


def test_the_worker_says_why_it_failed(standard_directory: Path) -> None:
    arguments = ("float99", "1", str(standard_directory))
    with WorkerProcess("minilm_retrieval.bench.contenders:make", arguments, 1) as worker:
        with pytest.raises(BenchmarkError, match=r"status 1:(.|\n)*'float99' is not offered"):
            worker.seconds(["a text"])
        with pytest.raises(BenchmarkError):
            worker.peak_memory()


def test_a_worker_measures(standard_directory: Path) -> None:
    with WorkerProcess(
        "minilm_retrieval.bench.contenders:make", ("float32", "1", str(standard_directory)), 1
    ) as worker:
        assert worker.seconds(["a text", "another"]) > 0
        assert worker.vectors(["a text", "another"]).shape == (2, load_model().config.hidden_size)
        assert len(worker.query_seconds(["a", "b", "c"])) == 3
        assert worker.peak_memory() > 50_000_000


def test_contenders_that_are_absent_have_a_reason() -> None:
    reasons = contenders()
    assert reasons["float32"] is None
    assert reasons["int8"] is None
    assert (reasons["bfloat16"] is None) == has_bfloat16()


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch, standard_directory: Path) -> None:
    monkeypatch.setattr(
        "minilm_retrieval.bench.measurement._SIZES", {"short": 20, "mixed": 8, "long": 3, "queries": 12}
    )
    monkeypatch.setattr("minilm_retrieval.bench.texts._TOLERANCE", 0.3)


def test_the_command_gives_every_figure(few_texts: None) -> None:
    done = CliRunner().invoke(app, ["bench", "--rounds", "2", "--threads", "2", "--json"])
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["threads"], report["rounds"]) == (2, 2)
    assert set(report["figures"]) | set(report["absent"]) == set(contenders())
    assert report["figures"]["float32"]["speedup"] == dict.fromkeys(TIMED, 1.0)
    for found in report["figures"].values():
        assert found["worst_cosine"] > 0.98
        assert 0 < found["query_ms"] <= found["query_p99_ms"]
        assert min(found["texts_per_second"].values()) > 0
    assert report["packages"]["openvino"]
    assert report["recommendation"]


def test_without_what_it_could_compare_with_it_says_so(few_texts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {
        "bfloat16": "no instructions",
        "sentence-transformers": "not installed",
        "Chroma's default function": "no",
    }
    monkeypatch.setattr(
        "minilm_retrieval.bench.measurement.contenders", lambda: {"float32": None, "int8": None, **absent}
    )
    done = CliRunner().invoke(app, ["bench", "--rounds", "1", "--threads", "2"])
    assert done.exit_code == 0, done.stderr
    for name, reason in absent.items():
        assert f"Not measured: {name}, {reason}" in done.stdout
    assert re.search(r"^int8 +\d+ \(\d\.\d\d\) .* ms$", done.stdout, re.MULTILINE)
    assert "2 threads: given as threads=" in done.stdout
    assert "float32" in done.stdout.splitlines()[-1]
