"""`minilm similarity` and `minilm duplicates`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from indexed import indexed_collection
from stores import fill, local_client, random_vectors
from typer.testing import CliRunner

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.cli.main import app
from minilm_retrieval.similarity import cosine_similarity

LINES = [
    "How do I reset my password?",
    "Which payment methods do you accept?",
    "",
    "The delivery took three weeks.",
    "how do i reset my password",
    "Which payment methods do you accept?",
]


def minilm(*arguments: object, stdin: str | None = None) -> Any:
    result = CliRunner().invoke(app, list(map(str, arguments)), input=stdin, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments: object) -> str:
    result = minilm(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    return str(result.stderr)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "faq.txt").write_text("\n".join(LINES))
    return tmp_path / "faq.txt"


@pytest.fixture(scope="module")
def scores(embedder: MiniLMEmbedder) -> np.ndarray:
    """The similarity of each line with each."""
    vectors = embedder.encode(LINES)
    return np.array([cosine_similarity(vector, vectors) for vector in vectors])


def test_two_texts(scores: np.ndarray) -> None:
    assert minilm("similarity", LINES[0], LINES[4]).stdout == f"{scores[0, 4]:.4f}\n"
    found = json.loads(minilm("similarity", LINES[0], LINES[4], "--json").stdout)
    assert found == {"score": pytest.approx(scores[0, 4], abs=1e-5)}


def test_one_text_and_others(scores: np.ndarray) -> None:
    given = [LINES[0], LINES[3], LINES[4], LINES[1]]
    lines = minilm("similarity", *given, "-k", 2).stdout.splitlines()
    assert lines == [f"{scores[0, 4]:.4f}  {LINES[4]}", f"{scores[0, 1]:.4f}  {LINES[1]}"]
    found = json.loads(minilm("similarity", *given, "--json").stdout)
    assert [set(hit) for hit in found] == [{"score", "text"}] * 3
    assert [hit["text"] for hit in found] == [LINES[4], LINES[1], LINES[3]]


def test_one_text_and_a_file(file: Path, scores: np.ndarray) -> None:
    lines = minilm("similarity", LINES[1], "--file", file, "-k", 3).stdout.splitlines()
    assert lines[:2] == [f"1.0000  2  {LINES[1]}", f"1.0000  6  {LINES[1]}"]
    found = json.loads(minilm("similarity", LINES[1], "-f", file, "-k", 1, "--json").stdout)
    assert found == [{"score": 1.0, "id": "2", "text": LINES[1]}]
    assert minilm("similarity", "x", "--file", "-", stdin="a\nx\n").stdout.splitlines()[0] == "1.0000  2  x"


def test_a_file_with_itself(file: Path, scores: np.ndarray) -> None:
    heading, *rows = minilm("similarity", "--file", file).stdout.splitlines()
    assert heading.split() == ["1", "2", "4", "5", "6"]
    kept = [0, 1, 3, 4, 5]
    for row, line in zip(kept, rows, strict=True):
        assert line.startswith(f"{row + 1}  {LINES[row]}")
        assert line.split()[-5:] == [f"{score:.2f}" for score in scores[row, kept]]
    found = json.loads(minilm("similarity", "--file", file, "--json").stdout)
    assert (found["ids"], found["texts"]) == (heading.split(), [LINES[row] for row in kept])
    assert np.array(found["similarities"]) == pytest.approx(scores[np.ix_(kept, kept)], abs=1e-5)


def test_files_of_numbers_and_pictures(file: Path, tmp_path: Path) -> None:
    output, picture = tmp_path / "all.csv", tmp_path / "all.png"
    result = minilm("similarity", "-f", file, "--output", output, "--heatmap", picture)
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{picture}: 5 texts compared with each other; ")
    assert second.startswith(f"{output}: 5 texts compared with each other; ")
    assert output.read_text().startswith("id,1,2,4,5,6\n1,1.000000,")
    assert picture.read_bytes().startswith(b"\x89PNG")
    result = minilm("similarity", "a", "b", "c", "--output", tmp_path / "all.npy", "--json")
    assert json.loads(result.stdout) == {"texts": 3, "files": [str(tmp_path / "all.npy")]}
    assert np.load(tmp_path / "all.npy").shape == (3, 3)


@pytest.mark.usefixtures("fake_engine")
def test_too_many_texts_to_print(tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("\n".join(f"text {number}" for number in range(1001)))
    assert "1,001 texts" in refused("similarity", "-f", tmp_path / "many.txt")
    assert "--output" in refused("similarity", "-f", tmp_path / "many.txt", "--json")
    message = refused("similarity", "-f", tmp_path / "many.txt", "--heatmap", tmp_path / "a.png")
    assert "at most 1,000 texts, got 1,001" in message


@pytest.fixture
def place(tmp_path: Path, embedder: MiniLMEmbedder) -> tuple[str, ...]:
    """A database with records of this library and of another tool."""
    indexed_collection(tmp_path / "chroma", embedder)
    vectors = random_vectors(4, 8)
    vectors[3] = vectors[0] + 0.01 * vectors[1]
    fill(
        *(local_client(tmp_path / "chroma"), "other", vectors * 3),
        documents=[*"abc", "d " * 300],
        metadatas=[{"page": number % 2} for number in range(4)],
    )
    return "--path", str(tmp_path / "chroma"), "--collection"


def test_a_collection_with_itself(place: tuple[str, ...]) -> None:
    heading, *rows = minilm("similarity", *place, "other").stdout.splitlines()
    assert heading.split() == ["id-00000", "id-00001", "id-00002", "id-00003"]
    assert [row.split()[2] for row in rows[:3]] == ["1.00", *(row.split()[2] for row in rows[1:3])]
    docs = minilm("similarity", *place, "docs").stdout.splitlines()
    assert docs[0].split() == [str(number) for number in range(1, 11)], "long names give way to numbers"


def test_duplicates_of_a_file(file: Path, scores: np.ndarray, tmp_path: Path) -> None:
    output = tmp_path / "pairs.csv"
    result = minilm("duplicates", file, "--output", output)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"1.0000  2  {LINES[1]}",
        f"        6  {LINES[1]}",
        "",
        f"{scores[0, 4]:.4f}  1  {LINES[0]}",
        f"        5  {LINES[4]}",
        "",
        f"2 pairs have a similarity of 0.95 or more: 4 of 5 texts are in one. All are in {output}.",
    ]
    with output.open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert first == {"score": "1.0", "left_id": "2", "right_id": "6", "left_text": LINES[1], "right_text": LINES[1]}
    assert float(second["score"]) == pytest.approx(scores[0, 4], abs=1e-5)


def test_duplicates_as_json(file: Path) -> None:
    found = json.loads(minilm("duplicates", file, "--json").stdout)
    assert [(pair["left_id"], pair["right_id"]) for pair in found] == [("2", "6"), ("1", "5")]
    assert json.loads(minilm("duplicates", file, "--json", "--limit", 1).stdout) == found[:1]
    assert minilm("duplicates", file, "--json", "--limit", 0).stdout == "[]\n"
    assert minilm("duplicates", "-", "--json", stdin="one text").stdout == "[]\n"


def test_what_is_not_shown_is_said(file: Path) -> None:
    last = minilm("duplicates", file, "--limit", 1).stdout.splitlines()[-1]
    first, shown = last.split(". ")
    assert first == "2 pairs have a similarity of 0.95 or more: 4 of 5 texts are in one"
    assert shown == "Not all are shown: see --limit and --output."
    last = minilm("duplicates", file, "--threshold", 0.9999).stdout.splitlines()[-1]
    assert last == "1 pair has a similarity of 0.9999 or more: 2 of 5 texts are in one."
    none = minilm("duplicates", "-", stdin="one text\nquite another")
    assert none.stdout == "No two of 2 texts have a similarity of 0.95 or more.\n"
    alone = minilm("duplicates", "-", stdin="one text")
    assert alone.stdout == "There is only one text: no two have a similarity of 0.95 or more.\n"


def test_duplicates_of_a_collection(place: tuple[str, ...]) -> None:
    lines = minilm("duplicates", *place, "other").stdout.splitlines()
    assert lines[0].endswith("id-00000  a")
    assert lines[1].endswith("\u2026"), "a long text is shortened"
    none = minilm("duplicates", *place, "other", "--where", '{"page": 0}').stdout
    assert none == "No two of 2 texts have a similarity of 0.95 or more.\n"
    docs = minilm("duplicates", *place, "docs", "--threshold", 0, "--limit", 1).stdout.splitlines()
    assert docs[0].count("  ") == 2, "the text is below the name of a file"
    assert docs[1].startswith(" " * 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give two texts or more"),
        (["alone"], "Give two texts or more"),
        (["a", "b", "--file", "x.txt"], "give one text"),
        (["a", "--file", "x.txt", "--output", "a.csv"], "give no other"),
        (["a", "--collection", "docs"], "minilm search"),
        (["--file", "x.txt", "--collection", "docs"], "either a file"),
        (["a", "b", "-k", "0"], "-k must be at least 1"),
        (["a", "b", "--output", "a.txt"], "end in .csv or .npy"),
        (["a", "b", "--heatmap", "a.gif"], "end in .html"),
    ],
)
def test_what_similarity_refuses(arguments: list[str], message: str) -> None:
    assert message in refused("similarity", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either a file of texts or --collection"),
        (["x.txt", "--threshold", "95"], "between -1 and 1"),
        (["x.txt", "--limit", "-1"], "--limit must be 0 or more"),
        (["x.txt", "--output", "a.parquet"], "end in .csv or .jsonl"),
        (["x.txt", "--where", "{}"], "go with --collection"),
    ],
)
def test_what_duplicates_refuses(arguments: list[str], message: str) -> None:
    assert message in refused("duplicates", *arguments)
