"""`minilm eval sts` and `minilm eval retrieval`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from evaluated import WordEncoder, write_collection, write_pairs
from typer.testing import CliRunner

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.cli.main import app
from minilm_retrieval.engines.openvino import has_bfloat16
from minilm_retrieval.evaluation.beir import read_collection


def minilm(*arguments: str) -> Any:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def lines(output: str) -> list[str]:
    return [" ".join(line.split()) for line in output.splitlines()]


@pytest.fixture
def pairs(tmp_path: Path, fake_engine: Any) -> str:
    return str(write_pairs(tmp_path / "pairs.tsv"))


@pytest.fixture
def folder(tmp_path: Path, fake_engine: Any) -> str:
    return str(write_collection(tmp_path / "words"))


def test_sts(pairs: str) -> None:
    result = minilm("eval", "sts", pairs, "--resamples", "50", "--seed", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    told = lines(result.stdout)
    assert told[0] == "60 pairs of texts."
    assert told[2] == "measure system figure 95% interval"
    estimate = r"-?\d+\.\d\d \[-?\d+\.\d\d, -?\d+\.\d\d\]"
    assert re.fullmatch(f"Spearman float32 {estimate}", told[3])
    assert re.fullmatch(f"Pearson float32 {estimate}", told[4])
    assert told[-1] == "95% intervals: percentile bootstrap, 50 resamples of the pairs, seed 3."
    report = json.loads(minilm("eval", "sts", pairs, "--resamples", "50", "--seed", "3", "--json").stdout)
    figure = report["figures"]["float32"]["Spearman"]
    assert told[3] == f"Spearman float32 {100 * figure['value']:.2f} [" + (
        f"{100 * figure['low']:.2f}, {100 * figure['high']:.2f}]"
    )
    assert (report["pairs"], report["cut"], report["differences"]) == (60, {"float32": 0}, {})


def test_all_precisions_and_another_model_side_by_side(pairs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "minilm_retrieval.evaluation.load_sentence_transformer", lambda name: asked.append(name) or WordEncoder()
    )
    directory = str(Path(pairs).parent)
    arguments = ("eval", "sts", pairs, "--precision", "int8", "--precision", "all", "--against", directory)
    result = minilm(*arguments, "--resamples", "20")
    assert result.exit_code == 0
    said = "minilm: bfloat16 is left out: this processor has no instructions for it\n"
    assert result.stderr == ("" if has_bfloat16() else said)
    against = f"against {Path(directory).name}"
    names = ["int8", "float32", *(["bfloat16"] if has_bfloat16() else []), against]
    told = result.stdout
    assert "change: from int8, over the same resamples." in told
    assert re.search(r"float32 +-?\d+\.\d\d \[.*\] +\+0\.000 +\[0\.000, 0\.000\]\n", told), "one fake engine for all"
    report = json.loads(minilm(*arguments, "--resamples", "20", "--json").stdout)
    assert list(report["figures"]) == names
    assert report["cut"][against] is None
    assert asked == [directory, directory]


# Which Python does not show outside of tests.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ir_measures")
def test_retrieval(folder: str) -> None:
    result = minilm("eval", "retrieval", folder, "--approximate", "--resamples", "20")
    assert (result.exit_code, result.stderr) == (0, "")
    told = lines(result.stdout)
    assert told[0] == "120 documents;"
    assert re.fullmatch(r"\d+ queries; \d+ judgements\.", told[1])
    rows = [line.split(" ", 1)[0] for line in told[4:12]]
    assert rows == ["nDCG@10", "float32,", "Recall@100", "float32,", "MRR@10", "float32,", "MAP@100", "float32,"]
    assert re.fullmatch(r"nDCG@10 float32, exact 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", told[4])
    assert re.fullmatch(r"float32, approximate \d\.\d{3} \[.*\] [+-]0\.\d{4} \[-?0\.\d{4}, -?0\.\d{4}\]", told[5]), (
        "on one line of 80 columns"
    )
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_stored_collection(folder: str, tmp_path: Path) -> None:
    embedder, data = MiniLMEmbedder(), read_collection(folder)
    collection = open_collection("stored", path=tmp_path / "chroma", create=True, embedder=embedder)
    collection.add(ids=data.document_ids, embeddings=list(embedder.encode(list(data.documents()))))
    place = ("--collection", "stored", "--path", str(tmp_path / "chroma"), "--resamples", "10", "--measure", "P@5")
    report = json.loads(minilm("eval", "retrieval", folder, *place, "--json").stdout)
    assert list(report["figures"]) == ["stored, exact", "stored, approximate"]
    report = json.loads(minilm("eval", "retrieval", folder, *place, "--precision", "float32", "--json").stdout)
    assert list(report["figures"]) == ["stored, exact", "stored, approximate", "float32, exact"]
    assert list(report["figures"]["float32, exact"]) == ["P@5"]
    wrong = minilm("eval", "retrieval", folder, *place, "--document-field", "nothing")
    assert wrong.exit_code == 0, "a record without the field stands for the document of its own id"


MISTAKES = [
    (("sts", "none.tsv"), 1, "No such file"),
    (("sts", "PAIRS", "--score-field", "x"), 1, "has no field 'x'"),
    (("sts", "PAIRS", "--text-fields", "sentence1", "y"), 1, "has no field 'y'"),
    (("sts", "PAIRS", "--precision", "half"), 2, "'half' is not offered"),
    (("sts", "PAIRS", "--encoding", "latin-9000"), 2, "latin-9000"),
    (("retrieval", "none"), 1, "no such directory"),
    (("retrieval", "FOLDER", "--split", "dev"), 1, "There are judgements for --split test."),
    (("retrieval", "FOLDER", "--measure", "ndcg@10"), 2, "'ndcg@10' is not a measure of ir-measures"),
    (("retrieval", "FOLDER", "--path", "x"), 2, "go with --collection"),
    (("retrieval", "FOLDER", "--document-field", "x"), 2, "go with --collection"),
    (("retrieval", "FOLDER", "-c", "docs", "--path", "x"), 1, "holds no Chroma database"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_mistakes(pairs: str, folder: str, arguments: Any, code: int, message: str) -> None:
    result = minilm("eval", *({"PAIRS": pairs, "FOLDER": folder}.get(one, one) for one in arguments))
    assert message in result.stderr.replace("\n", " ")
    assert (result.exit_code, result.stdout) == (code, "")


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("scipy.stats", ("sts", "PAIRS"), "eval"),
        ("ir_measures", ("retrieval", "FOLDER"), "eval"),
        ("chromadb", ("retrieval", "FOLDER", "--approximate"), "chroma"),
        ("sentence_transformers", ("sts", "PAIRS", "--against", "x"), "torch"),
    ],
)
def test_what_is_not_installed_is_named(
    pairs: str, folder: str, monkeypatch: pytest.MonkeyPatch, module: str, arguments: Any, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = minilm("eval", *({"PAIRS": pairs, "FOLDER": folder}.get(one, one) for one in arguments))
    assert result.exit_code == 1
    assert f'pip install "minilm-retrieval[{extra}]"' in result.stderr


def test_a_model_that_sentence_transformers_cannot_load(pairs: str, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    (tmp_path / "empty").mkdir()
    result = minilm("eval", "sts", pairs, "--against", str(tmp_path / "empty"))
    assert result.exit_code == 1
    assert "sentence-transformers cannot load the model" in result.stderr
