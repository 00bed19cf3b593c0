"""Figures that others measured with this model: STS Benchmark and Cranfield."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from soak import needs_soak
from typer.testing import CliRunner

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.cli.main import app
from minilm_retrieval.evaluation import evaluate_retrieval, evaluate_sts

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


def folder(name: str) -> Path:
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"the evaluation data ../shared/data/{name}, which is no part of the repository, is absent")
    return path


def evaluated(*arguments: str) -> str:
    """Return what `minilm eval` prints, with single spaces."""
    result = CliRunner().invoke(app, ["eval", *arguments], env={"COLUMNS": "80", "TERM": "dumb"})
    assert result.exit_code == 0, result.stderr
    return re.sub(" +", " ", result.stdout)


def test_sts_benchmark(standard_directory: Path) -> None:
    told = evaluated("sts", str(folder("stsb") / "test.tsv"))
    assert told.startswith("1,379 pairs of texts.\n")
    assert "\nSpearman float32 82.03 [" in told


@needs_soak
def test_cranfield(standard_directory: Path) -> None:
    told = evaluated("retrieval", str(folder("cranfield")))
    assert told.startswith("1,400 documents (")
    assert "\n225 queries; 1,612 judgements.\n" in told
    assert "\nnDCG@10 float32, exact 0.353 [" in told
    assert "\nRecall@100 float32, exact 0.775 [" in told


def sts_spearman(embedder: MiniLMEmbedder) -> float:
    """Return Spearman's correlation, times 100, of cosines with human scores over the test set of STS Benchmark."""
    report = evaluate_sts(folder("stsb") / "test.tsv", {"it": embedder}, resamples=1)
    return 100 * report.figures["it"]["Spearman"].value


def cranfield_ndcg(embedder: MiniLMEmbedder) -> float:
    """Return nDCG@10 of exact search over the Cranfield collection."""
    report = evaluate_retrieval(folder("cranfield"), {"it": embedder}, measures=["nDCG@10"], resamples=1)
    return report.figures["it, exact"]["nDCG@10"].value
