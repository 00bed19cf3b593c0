"""The command `minilm map`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from stores import fill, local_client, random_vectors
from typer.testing import CliRunner

from minilm_retrieval.cli.main import app

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("plotly")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["map", *arguments])


@pytest.fixture
def records(tmp_path: Path, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 24 records; the working directory is its own."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "records.jsonl"
    lines = [{"id": f"r{n}", "text": f"text number {n}", "kind": "ab"[n % 2], "size": n * n} for n in range(24)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_the_command_colours_by_clusters(records: Path, tmp_path: Path) -> None:
    result = run(str(records), "--method", "pca", "--hover", "kind", "-o", "map.html", "-o", "map.png")
    assert (result.exit_code, result.stderr) == (0, "")
    first, page, picture = result.stdout.splitlines()
    assert first.startswith("Clusters: k-means, 3 clusters")
    size = (tmp_path / "map.html").stat().st_size / 1e6
    assert page == f"map.html: 24 texts \u00b7 PCA \u00b7 coloured by cluster; {size:.1f} MB."
    assert picture.startswith("map.png: 24 texts")
    content = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "<title>records.jsonl</title>" in content
    assert "text number 23" in content
    assert "kind: b" in content


def test_the_command_without_options_writes_a_page(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visited: list[str] = []
    monkeypatch.setattr("webbrowser.open", visited.append)
    few = tmp_path / "few.txt"
    few.write_text("one\ntwo\n")
    result = run(str(few), "--open")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("map.html: 2 texts \u00b7 PCA; ")
    assert visited == [(tmp_path / "map.html").resolve().as_uri()]


def test_json_has_every_point(records: Path, tmp_path: Path) -> None:
    arguments = (str(records), "--method", "pca", "--json")
    report = json.loads(run(*arguments, "--color-by", "size").stdout)
    assert (report["texts"], report["method"], report["colored_by"], report["files"]) == (24, "pca", "size", [])
    assert len(report["points"]) == 24
    assert report["points"][3].keys() == {"id", "x", "y", "label"}
    assert (report["points"][3]["id"], report["points"][3]["label"]) == ("r3", "9")
    assert not (tmp_path / "map.html").exists()
    report = json.loads(run(*arguments, "--cluster", "none").stdout)
    assert report["colored_by"] is None
    assert {point["label"] for point in report["points"]} == {None}
    report = json.loads(run(*arguments, "-n", "5", "-o", "map.svg").stdout)
    assert len({point["label"] for point in report["points"]}) == 5
    assert report["files"] == ["map.svg"]


def test_a_collection_is_drawn_with_its_stored_vectors(
    tmp_path: Path, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [f"passage {row}" for row in range(6)]
    metadatas = [{"part": row % 3} for row in range(6)]
    fill(local_client(tmp_path / "chroma"), "notes", random_vectors(6, 8), documents=texts, metadatas=metadatas)
    result = run("--collection", "notes", "--color-by", "part", "--where", '{"part": {"$lt": 2}}')
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("map.html: 4 texts \u00b7 PCA \u00b7 coloured by part; ")
    assert "<title>notes</title>" in (tmp_path / "map.html").read_text(encoding="utf-8")
    assert fake_engine.rows == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("-o", "map.gif"), 2, "must end in .html"),
        (("-o", "no/map.html"), 1, "no directory"),
        (("--method", "umap"), 2, "expected one of auto, tsne, pca"),
        (("--seed", "-1"), 2, "seed must be"),
        (("--cluster", "dbscan"), 2, "kmeans, hdbscan, communities"),
        (("--cluster", "kmeans", "--threshold", "0.5"), 2, "goes with communities"),
        (("--color-by", "kind", "--cluster", "kmeans"), 2, "either clusters, or --color-by"),
        (("--color-by", "kind", "-n", "3"), 2, "either clusters, or --color-by"),
        (("--open", "-o", "map.png"), 2, "--open needs"),
        (("--color-by", "topic"), 2, "No text has the metadata field 'topic'; there are: 'kind', 'size'."),
        (("--hover", "topic"), 2, "No text has the metadata field 'topic'"),
    ],
)
def test_mistakes_are_found_before_anything_is_embedded(
    records: Path, fake_engine: FakeEngine, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(str(records), *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert result.stderr.startswith("minilm: ")
    assert fake_engine.rows == 0


def test_texts_are_needed(records: Path, tmp_path: Path) -> None:
    result = run()
    assert result.exit_code == 2
    assert "either a file of texts or --collection" in result.stderr
    (tmp_path / "empty.txt").touch()
    result = run("empty.txt")
    assert (result.exit_code, result.stderr) == (1, "minilm: empty.txt: holds no text.\n")
    assert not (tmp_path / "map.html").exists()
