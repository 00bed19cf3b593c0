"""`minilm cluster`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from stores import fill, local_client, random_vectors
from typer.testing import CliRunner

from minilm_retrieval.cli.main import app

ABOUT = ["tea"] * 6 + ["rain"] * 5 + ["stars", "bread"]
LINES = [f"The {thing} is {how}." for thing in ("tea", "train") for how in ("late", "early", "good", "cheap")]


def minilm(*arguments: object, stdin: str | None = None, columns: int = 100) -> Any:
    environment = {"COLUMNS": str(columns), "TERM": "dumb"}
    result = CliRunner().invoke(app, ["cluster", *map(str, arguments)], input=stdin, env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments: object) -> str:
    result = minilm(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    return str(result.stderr)


@pytest.fixture
def place(tmp_path: Path) -> tuple[object, ...]:
    """The options for a collection of 6 and 5 records near each other, and 2 near no other."""
    about = [sorted(set(ABOUT)).index(thing) for thing in ABOUT]
    metadatas = [{"page": row} for row in range(len(ABOUT))]
    documents = [f"about [bold]{thing}[/bold]\nand more" for thing in ABOUT]
    fill(local_client(tmp_path / "chroma"), "docs", random_vectors(4)[about], documents=documents, metadatas=metadatas)
    return "--path", tmp_path / "chroma", "--collection", "docs"


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(LINES))
    result = minilm(tmp_path / "lines.txt", "-n", 2, "--output", tmp_path / "found.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    heading, first, second, summary, saved = result.stdout.splitlines()
    assert heading.split() == ["cluster", "texts", "share", "name", "most", "typical", "text"]
    assert first.split()[:4] == ["0", "4", "50.0%", "tea"]
    assert second.split()[:4] == ["1", "4", "50.0%", "train"]
    assert "The tea is" in first
    assert summary == "8 texts: k-means, 2 clusters."
    assert saved == f"{tmp_path / 'found.csv'}: 8 texts with their clusters."
    with (tmp_path / "found.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["id"], row["cluster"], row["name"], row["text"]) for row in rows] == [
        (str(number), str((number - 1) // 4), "tea" if number < 5 else "train", line)
        for number, line in enumerate(LINES, 1)
    ]
    assert all(0.5 < float(row["similarity"]) < 1 for row in rows)


def test_standard_input_and_the_number_is_chosen() -> None:
    result = minilm("-", stdin="\n".join(LINES))
    assert result.exit_code == 0
    assert "8 texts: k-means, " in result.stdout
    assert "chosen of 2 to 4 by the silhouette" in result.stdout
    assert "1 text: k-means, 1 cluster." in minilm("-", stdin="one text").stdout


def test_a_collection(place: tuple[object, ...]) -> None:
    result = minilm(*place, "--method", "communities")
    assert (result.exit_code, result.stderr) == (0, "")
    _, first, second, summary = result.stdout.splitlines()
    assert first.split() == ["0", "6", "46.2%", "tea", "about", "[bold]tea[/bold]", "and", "more"]
    assert second.split() == ["1", "5", "38.5%", "rain", "about", "[bold]rain[/bold]", "and", "more"]
    assert summary == (
        "13 texts: communities of at least 5 texts, each 0.6 or more similar to a central one. "
        "2 clusters; 2 texts (15.4%) are in none."
    )


def test_no_cluster(place: tuple[object, ...]) -> None:
    lines = minilm(*place, "--method", "hdbscan", "--min-size", 7).stdout.splitlines()
    assert lines == ["13 texts: HDBSCAN, at least 7 texts a cluster. There is no such cluster; try a lower --min-size."]


def test_what_is_not_shown_is_said(place: tuple[object, ...]) -> None:
    shown = minilm(*place, "--method", "communities", "--limit", 1).stdout.splitlines()
    assert shown[2] == "and 1 cluster more; --limit shows more"
    assert minilm(*place, "-n", 3, "--limit", 0).stdout.splitlines()[0] == "3 clusters"


def test_a_narrow_terminal(place: tuple[object, ...]) -> None:
    assert minilm(*place, "-n", 2, columns=30).exit_code == 0


def test_as_json(place: tuple[object, ...], tmp_path: Path) -> None:
    arguments = (*place, "--method", "communities", "--where", '{"page": {"$lt": 12}}')
    result = minilm(*arguments, "--output", tmp_path / "found.jsonl", "--json")
    found = json.loads(result.stdout)
    assert (found["method"], found["texts"], found["unclustered"], found["written_back"]) == (
        "communities",
        12,
        1,
        None,
    )
    assert found["clusters"][1] == {
        "cluster": 1,
        "name": "rain",
        "size": 5,
        "share": round(5 / 12, 6),
        "cohesion": pytest.approx(1),
        "central": {"id": "id-00006", "text": "about [bold]rain[/bold]\nand more"},
    }
    assert found["assignments"][0] == {"id": "id-00000", "cluster": 0, "name": "tea", "similarity": pytest.approx(1)}
    assert found["assignments"][11] == {"id": "id-00011", "cluster": None, "name": None, "similarity": None}
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [{**row, "text": None} for row in rows] == [{**row, "text": None} for row in found["assignments"]]


def test_write_back(place: tuple[object, ...], tmp_path: Path) -> None:
    arguments = (*place, "--method", "communities", "--write-back", "--field", "topic")
    lines = minilm(*arguments).stdout.splitlines()
    assert lines[-1] == ("'docs': topic and topic_name written to 11 records, removed from 0; 2 needed no change.")
    report = json.loads(minilm(*arguments, "--min-size", 6, "--json").stdout)["written_back"]
    assert report == {"field": "topic", "name_field": "topic_name", "written": 0, "cleared": 5, "unchanged": 8}
    stored = local_client(tmp_path / "chroma").get_collection("docs").get(ids=["id-00000", "id-00006"])
    by_id = dict(zip(stored["ids"], stored["metadatas"], strict=True))
    assert by_id == {"id-00000": {"page": 0, "topic": 0, "topic_name": "tea"}, "id-00006": {"page": 6}}
    assert "'id-00000' holds {'page': 0}" in refused(*place, "--write-back", "--field", "page")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either a file of texts or --collection"),
        (("texts.txt", "--collection", "docs"), "either a file of texts or --collection"),
        (("texts.txt", "--write-back"), "--write-back goes with --collection"),
        (("--collection", "docs", "--field", "topic"), "--field goes with --write-back"),
        (("--collection", "docs", "--write-back", "--field", "source"), "indexing writes it"),
        (("--collection", "docs", "--write-back", "--field", "$x"), "cannot be written to the field '$x'"),
        (("texts.txt", "--limit", -1), "--limit must be 0 or more"),
        (("texts.txt", "--method", "ward"), "kmeans, hdbscan, communities"),
        (("texts.txt", "--min-size", 3), "goes with hdbscan and communities"),
        (("texts.txt", "--output", "found.xlsx"), ".csv or .jsonl"),
        (("texts.txt", "--where", "{}"), "go with --collection"),
        (("--collection", "docs", "--path", ".", "--precision", "int8"), "go with a file"),
    ],
)
def test_wrong_options(arguments: tuple[object, ...], message: str) -> None:
    assert message in refused(*arguments)


def test_what_is_missing(tmp_path: Path) -> None:
    for arguments in ((tmp_path / "none.txt",), ("--path", tmp_path, "--collection", "docs")):
        result = minilm(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("minilm: ")
