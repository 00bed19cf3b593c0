"""Judged similarity: correlations, their intervals, and files that do not say what they should."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluated import WordEncoder, write_pairs
from scipy import stats

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import DocumentError, EngineError, InvalidOptionError
from minilm_retrieval.evaluation import Estimate, StsReport, evaluate_sts
from minilm_retrieval.similarity import cosine_similarity

NOISY = {"plain": WordEncoder(), "noisy": WordEncoder(0.8)}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.tsv")


@pytest.fixture(scope="module")
def report(file: Path) -> StsReport:
    return evaluate_sts(file, NOISY)


def judged(file: Path, encoder: WordEncoder) -> tuple[Any, Any]:
    """Return cosines and scores, computed one by one."""
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t"))
    cosines = [
        cosine_similarity(encoder.encode([row["sentence1"]])[0], encoder.encode([row["sentence2"]]))[0] for row in rows
    ]
    return np.array(cosines, dtype=np.float64), np.array([float(row["score"]) for row in rows])


@pytest.mark.parametrize("name", NOISY)
def test_the_figures_are_scipys(file: Path, report: StsReport, name: str) -> None:
    cosines, scores = judged(file, NOISY[name])
    assert report.pairs == len(scores) == 60
    assert report.figures[name]["Spearman"].value == pytest.approx(stats.spearmanr(cosines, scores)[0], abs=1e-6)
    assert report.figures[name]["Pearson"].value == pytest.approx(stats.pearsonr(cosines, scores)[0], abs=1e-6)
    assert report.cut == {"plain": None, "noisy": None}


def test_the_intervals_are_scipys(file: Path, report: StsReport) -> None:
    """Those of scipy's own paired bootstrap, up to what other resamples change."""
    cosines, scores = judged(file, NOISY["noisy"])
    found = stats.bootstrap(
        (cosines, scores),
        lambda one, other, axis: stats.pearsonr(one, other, axis=axis).statistic,
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(7),
    ).confidence_interval
    estimate = report.figures["noisy"]["Pearson"]
    assert (estimate.low, estimate.high) == pytest.approx((found.low, found.high), abs=0.02)
    assert (report.resamples, report.seed) == (2000, 0)


def test_a_difference_is_paired(report: StsReport) -> None:
    """Its interval is narrower than one from two independent figures."""
    assert set(report.differences) == {"noisy"}
    for measure, difference in report.differences["noisy"].items():
        plain, noisy = report.figures["plain"][measure], report.figures["noisy"][measure]
        assert difference.value == pytest.approx(noisy.value - plain.value)
        assert difference.low < difference.value < difference.high
        independent = np.hypot(plain.high - plain.low, noisy.high - noisy.low)
        assert difference.high - difference.low < 0.8 * independent


def test_a_model_against_itself_differs_by_nothing_and_the_seed_decides(file: Path, report: StsReport) -> None:
    again = evaluate_sts(file, {"plain": WordEncoder(), "same": WordEncoder()})
    assert again.figures["plain"] == again.figures["same"] == report.figures["plain"]
    assert set(again.differences["same"].values()) == {Estimate(0, 0, 0)}
    other = evaluate_sts(file, {"plain": WordEncoder()}, seed=1).figures["plain"]["Spearman"]
    assert other.value == report.figures["plain"]["Spearman"].value
    assert other.low != report.figures["plain"]["Spearman"].low


def test_pairs_are_embedded_some_at_a_time(file: Path, report: StsReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.evaluation.encoders.BLOCK", 7)
    encoder = WordEncoder()
    found = evaluate_sts(file, {"plain": encoder}).figures["plain"]
    assert found["Spearman"].value == pytest.approx(report.figures["plain"]["Spearman"].value)
    assert set(encoder.calls) == {14, 8}
    assert sum(encoder.calls) == 120


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_cut_texts_are_counted_and_not_warned_about(tmp_path: Path, fake_engine: Any) -> None:
    rows = [("a", "word " * 300, 1), ("b", "c", 2), ("word " * 254, "word " * 255, 3), ("d", "e", 4)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps({"sentence1": a, "sentence2": b, "score": score}) for a, b, score in rows))
    assert evaluate_sts(file, {"it": MiniLMEmbedder()}, resamples=10).cut == {"it": 2}


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("Gold_Score,Sentence_A,sentence_b", {}),
        ("label,text1,text2", {}),
        ("stars,one,two", {"score_field": "stars", "text_fields": ("one", "two")}),
        ("score,sentence1,sentence2", {"text_fields": ("sentence2", "sentence1")}),
    ],
)
def test_fields_are_found_or_given(tmp_path: Path, report: StsReport, file: Path, header: str, options: Any) -> None:
    lines = file.read_text().replace("\t", ",").splitlines()
    other = tmp_path / "pairs.csv"
    other.write_text("\n".join([header, *lines[1:]]))
    found = evaluate_sts(other, {"plain": WordEncoder()}, **options)
    for measure in ("Spearman", "Pearson"):
        assert found.figures["plain"][measure].value == pytest.approx(report.figures["plain"][measure].value)


HEADER = "score\tsentence1\tsentence2\n"
ROWS = "1\ta\tb\n2\tc\td\n"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "a\tsentence1\tsentence2\n1\tx\ty",
            {},
            r"no field of scores under a usual name \('score'.*are 'a', 'sentence1'",
        ),
        ("score\ta\tb\n1\tx\ty", {}, r"no two fields of texts under usual names .*--text-fields"),
        (HEADER + ROWS, {"score_field": "x"}, "has no field 'x'; its fields are 'score'"),
        (HEADER + ROWS, {"text_fields": ("sentence1", "x")}, "has no field 'x'"),
        (HEADER + ROWS + "nan\te\tf\n", {}, "line 4 has the score 'nan'; expected a finite number"),
        (HEADER + ROWS + "much\te\tf\n", {}, "line 4 has the score 'much'"),
        (HEADER + ROWS, {}, "holds 2 pairs; a correlation needs 3"),
        (HEADER, {}, "holds 0 pairs"),
        ("", {}, "holds 0 pairs"),
        (HEADER + "1\ta\tb\n" * 4, {}, "holds 4 pairs of one and the same score"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, content: str, options: Any, message: str) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text(content)
    with pytest.raises(DocumentError, match=message):
        evaluate_sts(file, {"it": WordEncoder()}, **options)


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_few_pairs_have_an_interval_too(tmp_path: Path) -> None:
    """Some resamples hold one and the same pair only, where there is no correlation."""
    file = tmp_path / "pairs.tsv"
    file.write_text(HEADER + ROWS + "3\tcat\tcat\n")
    estimate = evaluate_sts(file, {"it": WordEncoder()}).figures["it"]["Spearman"]
    assert -1 <= estimate.low <= estimate.value <= estimate.high <= 1


class Broken(WordEncoder):
    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change

    def encode(self, texts: list[str]) -> Any:
        return self.change(super().encode(texts))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"broken gave an array of shape \(119, 24\) for 120 texts"),
        (lambda rows: rows.ravel(), r"of shape \(2880,\)"),
        (lambda rows: np.where(np.arange(len(rows))[:, None] == 5, np.nan, rows), "not finite for the text '"),
    ],
)
def test_what_is_no_vector_is_refused(file: Path, change: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        evaluate_sts(file, {"broken": Broken(change)})


def test_options_are_checked(file: Path) -> None:
    with pytest.raises(InvalidOptionError, match="at least one system"):
        evaluate_sts(file, {})
    for options in ({"resamples": 0}, {"seed": -1}):
        with pytest.raises(InvalidOptionError, match="at least 1 resample and a seed from 0"):
            evaluate_sts(file, {"it": WordEncoder()}, **options)
